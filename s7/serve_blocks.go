package s7

import "context"

// BlockKeeper is a Handler that has blocks: they are counted, listed, described and uploaded. Without it all of that is refused with
// ErrServiceUnknown.
type BlockKeeper interface {
	CountBlocks(ctx context.Context, r *Request, t BlockType) uint16
	// ListBlocks fills into with the blocks of a type in the order of their numbers, leaving out those before number from, and returns how many it
	// filled in: fewer than len(into) when there are no more.
	ListBlocks(ctx context.Context, r *Request, t BlockType, from uint16, into []BlockEntry) int
	// BlockInfo describes a block, or answers ErrBlockNotFound.
	BlockInfo(ctx context.Context, r *Request, f BlockFile) (BlockInfo, ErrorCode)
	// ReadBlock appends the image of a block (Block.AppendTo), at most MaxBlock bytes, or answers ErrBlockNotFound.
	ReadBlock(ctx context.Context, r *Request, f BlockFile, dst []byte) (image []byte, code ErrorCode)
}

// blockTypes are the types in the order in which they are counted.
var blockTypes = [...]BlockType{BlockOB, BlockDB, BlockSDB, BlockFC, BlockSFC, BlockFB, BlockSFB}

func (c *ServerConn) serveBlocks(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	if c.faces.blocks == nil {
		return ErrServiceUnknown
	}
	switch u.Sub {
	case SubBlockCounts:
		return c.serveBlockCounts(ctx, p, u)
	case SubBlockList:
		return c.serveBlockList(ctx, p, u)
	case SubBlockInfo:
		return c.serveBlockInfo(ctx, p, u)
	}
	return ErrServiceUnknown
}

func (c *ServerConn) serveBlockCounts(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	r := u.Reply()
	b := r.Begin(BeginFrame(c.out), p.Ref)
	for _, t := range blockTypes {
		b = AppendBlockCounts(b, BlockCount{Type: t, Count: c.faces.blocks.CountBlocks(ctx, &c.req, t)})
	}
	c.endReply(b)
	return 0
}

func (c *ServerConn) serveBlockList(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	if u.IsFollowUp() {
		return c.nextPart(ctx, p, u)
	}
	var m BlockListRequest
	if code := m.Decode(u); code != 0 {
		return code
	}
	r := u.Reply()
	return c.firstPart(ctx, p, &r, answerPart{blocks: m.Type})
}

func (c *ServerConn) serveBlockInfo(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	var m BlockInfoRequest
	if code := m.Decode(u); code != 0 {
		return code
	}
	info, code := c.faces.blocks.BlockInfo(ctx, &c.req, m.File)
	if code != 0 {
		return code
	}
	r := u.Reply()
	c.endReply(info.AppendTo(r.Begin(BeginFrame(c.out), p.Ref)))
	return 0
}
