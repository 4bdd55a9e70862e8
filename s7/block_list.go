package s7

import (
	"strconv"
	"time"

	"millrace/wire"
)

// Subfunctions of GroupBlock.
const (
	SubBlockCounts = 0x01
	SubBlockList   = 0x02
	SubBlockInfo   = 0x03
)

// BlockCountsRequest asks how many blocks there are of each type.
type BlockCountsRequest struct{}

// AppendTo appends the PDU.
func (BlockCountsRequest) AppendTo(b []byte, ref uint16) []byte {
	u := bareRequest(GroupBlock, SubBlockCounts)
	return u.AppendTo(b, ref)
}

// BlockCount is how many blocks there are of a type: 30 type count(2).
type BlockCount struct {
	Type  BlockType
	Count uint16
}

const blockEntry = 4

// AppendBlockCounts appends the data of the answer.
func AppendBlockCounts(b []byte, counts ...BlockCount) []byte {
	for _, n := range counts {
		b = wire.AppendU16(append(b, blockTypeMark, byte(n.Type)), n.Count)
	}
	return b
}

// BlockCounts appends what the data of the answer hold to into.
func BlockCounts(data []byte, into []BlockCount) ([]BlockCount, error) {
	c := wire.Over(data)
	for c.Left() >= blockEntry {
		mark := c.U8()
		into = append(into, BlockCount{Type: BlockType(c.U8()), Count: c.U16()})
		if mark != blockTypeMark {
			return into, malformedData(data, "block counts")
		}
	}
	if !c.Complete() {
		return into, malformedData(data, "block counts")
	}
	return into, nil
}

// BlockListRequest asks for the blocks of a type.
type BlockListRequest struct{ Type BlockType }

// AppendTo appends the PDU.
func (m *BlockListRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	u := request(GroupBlock, SubBlockList)
	return EndUserdata(append(u.Begin(b, ref), blockTypeMark, byte(m.Type)), start)
}

// Decode reads a request, no follow-up. It answers the error that it deserves, or 0.
func (m *BlockListRequest) Decode(u *Userdata) ErrorCode {
	c, code := u.requestData(GroupBlock, SubBlockList)
	if code != 0 {
		return code
	}
	mark, t := c.U8(), BlockType(c.U8())
	switch {
	case !c.Complete() || mark != blockTypeMark:
		return ErrUserdataSyntax
	case !t.Known():
		return ErrNoBlock
	}
	m.Type = t
	return 0
}

// BlockEntry is a block in a list.
type BlockEntry struct {
	Number   uint16
	Flags    uint8 // 0x22 is seen
	Language Language
}

// AppendBlockList appends the data of the answer.
func AppendBlockList(b []byte, entries ...BlockEntry) []byte {
	for _, e := range entries {
		b = append(wire.AppendU16(b, e.Number), e.Flags, byte(e.Language))
	}
	return b
}

// BlockList appends what the data of the answer hold to into.
func BlockList(data []byte, into []BlockEntry) ([]BlockEntry, error) {
	c := wire.Over(data)
	for c.Left() >= blockEntry {
		into = append(into, BlockEntry{Number: c.U16(), Flags: c.U8(), Language: Language(c.U8())})
	}
	if !c.Complete() {
		return into, malformedData(data, "block list")
	}
	return into, nil
}

// Language is what a block was written in.
type Language uint8

// The languages.
const (
	LanguageAWL   Language = 1
	LanguageKOP   Language = 2
	LanguageFUP   Language = 3
	LanguageSCL   Language = 4
	LanguageDB    Language = 5
	LanguageGRAPH Language = 6
	LanguageSDB   Language = 7
)

// String names l, or returns its number.
func (l Language) String() string {
	switch l {
	case LanguageAWL:
		return "AWL"
	case LanguageKOP:
		return "KOP"
	case LanguageFUP:
		return "FUP"
	case LanguageSCL:
		return "SCL"
	case LanguageDB:
		return "DB"
	case LanguageGRAPH:
		return "GRAPH"
	case LanguageSDB:
		return "SDB"
	}
	return "language " + strconv.Itoa(int(l))
}

// BlockInfoRequest asks about a block.
type BlockInfoRequest struct{ File BlockFile }

// AppendTo appends the PDU.
func (m *BlockInfoRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	u := request(GroupBlock, SubBlockInfo)
	return EndUserdata(m.File.appendName(u.Begin(b, ref)), start)
}

// Decode reads a request. It answers the error that it deserves, or 0.
func (m *BlockInfoRequest) Decode(u *Userdata) ErrorCode {
	c, code := u.requestData(GroupBlock, SubBlockInfo)
	if code != 0 {
		return code
	}
	name := c.Bytes(blockNameLen)
	switch {
	case !c.Complete():
		return ErrUserdataSyntax
	case !m.File.decodeName(name):
		return ErrBlockNameSyntax
	}
	return 0
}

// BlockInfo is what a PLC knows about a block: 78 bytes.
type BlockInfo struct {
	Flags     uint8
	Language  Language
	Subtype   uint8 // BlockType.Subtype
	Number    uint16
	LoadLen   uint32 // bytes in load memory; of a DB MC7Len+92
	Security  uint32 // 3 is know-how protection
	Code      time.Time
	Interface time.Time
	SSBLen    uint16
	ADDLen    uint16
	LocalLen  uint16
	MC7Len    uint16 // bytes in work memory: the size of a DB
	Author    [8]byte
	Family    [8]byte
	Name      [8]byte
	Version   uint8 // high nibble . low nibble
	Checksum  uint16
}

const (
	blockInfoHead = 0x0100
	blockInfoLen  = 0x004A // 74 bytes follow
	blockInfoMark = 0x2200
	blockInfoRest = 8
	blockMagic    = 0x7070 // "pp"
)

// AppendTo appends the data of the answer.
func (m *BlockInfo) AppendTo(b []byte) []byte {
	b = wire.AppendU16(wire.AppendU16(wire.AppendU16(b, blockInfoHead), blockInfoLen), blockInfoMark)
	return m.appendFoot(m.appendHead(b))
}

// Decode reads the data of an answer.
func (m *BlockInfo) Decode(data []byte) error {
	c := wire.Over(data)
	c.Skip(6)
	var r BlockInfo
	r.decodeHead(&c)
	r.decodeFoot(&c)
	if !c.Complete() {
		return malformedData(data, "block info")
	}
	*m = r
	return nil
}

// appendHead appends the 36 bytes with which a block begins.
func (m *BlockInfo) appendHead(b []byte) []byte {
	b = wire.AppendU16(append(wire.AppendU16(b, blockMagic), 1, m.Flags, byte(m.Language), m.Subtype), m.Number)
	b = wire.AppendU32(wire.AppendU32(b, m.LoadLen), m.Security)
	b = appendBlockTime(appendBlockTime(b, m.Code), m.Interface)
	return wire.AppendU16(wire.AppendU16(wire.AppendU16(wire.AppendU16(b, m.SSBLen), m.ADDLen), m.LocalLen), m.MC7Len)
}

// decodeHead reads what appendHead wrote and returns the two bytes that mark it.
func (m *BlockInfo) decodeHead(c *wire.Cursor) (magic uint16) {
	magic = c.U16()
	c.Skip(1)
	m.Flags, m.Language, m.Subtype, m.Number = c.U8(), Language(c.U8()), c.U8(), c.U16()
	m.LoadLen, m.Security = c.U32(), c.U32()
	m.Code, m.Interface = blockTime(c), blockTime(c)
	m.SSBLen, m.ADDLen, m.LocalLen, m.MC7Len = c.U16(), c.U16(), c.U16(), c.U16()
	return magic
}

// appendFoot appends the 36 bytes with which a block ends.
func (m *BlockInfo) appendFoot(b []byte) []byte {
	b = append(append(append(b, m.Author[:]...), m.Family[:]...), m.Name[:]...)
	b = wire.AppendU16(append(b, m.Version, 0), m.Checksum)
	return appendPadded(b, nil, blockInfoRest, 0)
}

func (m *BlockInfo) decodeFoot(c *wire.Cursor) {
	copy(m.Author[:], c.Bytes(len(m.Author)))
	copy(m.Family[:], c.Bytes(len(m.Family)))
	copy(m.Name[:], c.Bytes(len(m.Name)))
	m.Version = c.U8()
	c.Skip(1)
	m.Checksum = c.U16()
	c.Skip(blockInfoRest)
}

// blockEpoch is when blocks begin to have times: milliseconds of the day and days since.
var blockEpoch = time.Date(1984, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// appendBlockTime appends milliseconds(4) and days(2); a time outside 1984..2163 is 1984.
func appendBlockTime(b []byte, t time.Time) []byte {
	since := t.Sub(blockEpoch)
	if t.Before(blockEpoch) || since/day > 0xFFFF {
		since = 0
	}
	return wire.AppendU16(wire.AppendU32(b, uint32(since%day/time.Millisecond)), uint16(since/day))
}

// blockTime reads what appendBlockTime wrote. Milliseconds that are no time of day are left out: they would carry the last days beyond what
// can be written.
func blockTime(c *wire.Cursor) time.Time {
	ms, days := c.U32(), c.U16()
	if time.Duration(ms)*time.Millisecond >= day {
		ms = 0
	}
	return blockEpoch.Add(time.Duration(days)*day + time.Duration(ms)*time.Millisecond)
}
