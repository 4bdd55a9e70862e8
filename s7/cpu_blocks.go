package s7

import (
	"context"
	"math"
)

// The blocks of a CPU are the DBs of its Memory. What came by download and was not linked yet is kept beside it.
const (
	maxFresh      = 16 // blocks that are not linked
	maxDataBlock  = math.MaxUint16
	blockFlagSeen = 0x22 // of an entry in a list, as real CPUs have it
)

// CountBlocks is BlockKeeper's.
func (c *CPU) CountBlocks(_ context.Context, _ *Request, t BlockType) uint16 {
	if t != BlockDB {
		return 0
	}
	n := uint16(0)
	c.eachDB(0, func(uint16) bool { n++; return true })
	return n
}

// ListBlocks is BlockKeeper's.
func (c *CPU) ListBlocks(_ context.Context, _ *Request, t BlockType, from uint16, into []BlockEntry) int {
	n := 0
	if t != BlockDB || len(into) == 0 {
		return 0
	}
	c.eachDB(from, func(number uint16) bool {
		into[n] = BlockEntry{Number: number, Flags: blockFlagSeen, Language: LanguageDB}
		n++
		return n < len(into)
	})
	return n
}

// BlockInfo is BlockKeeper's.
func (c *CPU) BlockInfo(_ context.Context, _ *Request, f BlockFile) (BlockInfo, ErrorCode) {
	b, code := c.block(f)
	return b.BlockInfo, code
}

// ReadBlock is BlockKeeper's.
func (c *CPU) ReadBlock(_ context.Context, _ *Request, f BlockFile, dst []byte) ([]byte, ErrorCode) {
	b, code := c.block(f)
	if code != 0 {
		return dst, code
	}
	return b.AppendTo(dst), 0
}

// block returns a copy of a DB: the linked one, or of FilePassive the one that waits for it.
func (c *CPU) block(f BlockFile) (b Block, code ErrorCode) {
	if f.Type != BlockDB || f.Number > math.MaxUint16 {
		return b, ErrBlockNotFound
	}
	n := uint16(f.Number)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.System == FilePassive {
		if b, ok := c.fresh[n]; ok {
			return b, 0
		}
		return b, ErrBlockNotFound
	}
	code = ErrBlockNotFound
	c.View(AreaDB, n, func(data []byte) { b, code = c.image(n, data) })
	return b, code
}

// image describes a DB with a copy of its data. c.mu is held.
func (c *CPU) image(n uint16, data []byte) (Block, ErrorCode) {
	if len(data) > maxDataBlock {
		return Block{}, ErrBlockTooLong
	}
	b := NewDataBlock(n, append([]byte(nil), data...))
	if was, ok := c.loaded[n]; ok {
		b.Code, b.Interface, b.Security = was.Code, was.Interface, was.Security
		b.Author, b.Family, b.Name, b.Version = was.Author, was.Family, was.Name, was.Version
	} else {
		b.Code, b.Interface, b.Version = c.born, c.born, 0x01
		copy(b.Author[:], "MILLRACE")
	}
	return b, 0
}

// AcceptBlock is BlockWriter's.
func (c *CPU) AcceptBlock(_ context.Context, _ *Request, f BlockFile, _ int) ErrorCode {
	switch {
	case !c.cfg.Programming:
		return ErrProtected
	case f.Type != BlockDB:
		return ErrNotSupported
	case f.Number == 0 || f.Number > math.MaxUint16:
		return ErrBlockNumber
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roomFor(uint16(f.Number))
}

// roomFor says whether one more block may wait for its link. c.mu is held.
func (c *CPU) roomFor(n uint16) ErrorCode {
	if _, again := c.fresh[n]; !again && len(c.fresh) >= maxFresh {
		return ErrUnlinkedBlocks
	}
	return 0
}

// WriteBlock is BlockWriter's. The block's own number gives way to the one under which it was sent.
func (c *CPU) WriteBlock(ctx context.Context, r *Request, f BlockFile, image []byte) ErrorCode {
	var b Block
	if code := b.Decode(image); code != 0 {
		return code
	}
	if b.Subtype != BlockDB.Subtype() {
		return ErrBlockHeader
	}
	if code := c.AcceptBlock(ctx, r, f, len(image)); code != 0 {
		return code
	}
	b.Number, b.Checksum = uint16(f.Number), blockChecksum(b.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if code := c.roomFor(b.Number); code != 0 {
		return code
	}
	if c.fresh == nil {
		c.fresh = make(map[uint16]Block)
	}
	c.fresh[b.Number] = b
	return 0
}

// InsertBlock is BlockWriter's: the DB is there from now on, or another one in its place.
func (c *CPU) InsertBlock(_ context.Context, _ *Request, f BlockFile) ErrorCode {
	if !c.cfg.Programming {
		return ErrProtected
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.fresh[uint16(f.Number)]
	if !ok || f.Type != BlockDB || f.Number > math.MaxUint16 {
		return ErrBlockNotFound
	}
	if c.worked(b.Number)+len(b.Body) > c.cfg.WorkMemory {
		return ErrNoResource
	}
	if c.ReplaceDB(b.Number, append([]byte(nil), b.Body...)) != nil {
		return ErrBlockNumber
	}
	delete(c.fresh, b.Number)
	if c.loaded == nil {
		c.loaded = make(map[uint16]BlockInfo)
	}
	c.loaded[b.Number] = b.BlockInfo
	return 0
}

// worked returns the bytes in all DBs but one.
func (c *CPU) worked(but uint16) (bytes int) {
	c.eachDB(0, func(number uint16) bool {
		if n, _ := c.Size(AreaDB, number); number != but {
			bytes += n
		}
		return true
	})
	return bytes
}

// DeleteBlock is BlockWriter's: the linked block, or of FilePassive the one that waits for it.
func (c *CPU) DeleteBlock(_ context.Context, _ *Request, f BlockFile) ErrorCode {
	switch {
	case !c.cfg.Programming:
		return ErrProtected
	case f.Type != BlockDB || f.Number > math.MaxUint16:
		return ErrBlockNotFound
	}
	n := uint16(f.Number)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, fresh := c.fresh[n]
	if f.System != FileActive {
		delete(c.fresh, n)
	}
	linked := f.System != FilePassive && c.DeleteDB(n)
	if linked {
		delete(c.loaded, n)
	}
	if !linked && (!fresh || f.System == FileActive) {
		return ErrBlockNotFound
	}
	return 0
}
