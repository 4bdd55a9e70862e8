package s7

import "millrace/wire"

const (
	blockHeadBytes = 36
	blockFootBytes = 36
	// dbInterface is what the description of a DB's variables takes: LoadLen is MC7Len+92, 72 of it head and foot.
	dbInterface = 20
)

// Block is a whole block as it goes over the wire in uploads and downloads: a head of 36 bytes, Code or data (MC7Len bytes), the description
// of its variables, a foot of 36 bytes. LoadLen counts them all.
type Block struct {
	BlockInfo
	Body []byte // MC7Len bytes: code, or the data of a DB; aliases the buffer
	Rest []byte // what is between body and foot; aliases the buffer
}

// NewDataBlock returns DB number with data as its body, which it aliases; at most 65,535 bytes. Names and times are left to the caller.
func NewDataBlock(number uint16, data []byte) Block {
	var rest [dbInterface]byte
	m := Block{Body: data, Rest: rest[:]}
	m.BlockInfo = dataBlockInfo(number, len(data))
	m.Checksum = blockChecksum(data)
	return m
}

// dataBlockInfo returns what there is to say of a DB of n bytes.
func dataBlockInfo(number uint16, n int) BlockInfo {
	const linked = 1
	return BlockInfo{
		Flags: linked, Language: LanguageDB, Subtype: BlockDB.Subtype(), Number: number, SSBLen: dbInterface,
		LoadLen: uint32(blockHeadBytes + n + dbInterface + blockFootBytes), MC7Len: uint16(n),
	}
}

// blockChecksum returns the CRC-16 of a block's body (CCITT, 0xFFFF first). What real PLCs reckon, and over which bytes, is not public, so
// that a checksum tells a changed block from the same one and is not compared with one that came from elsewhere.
func blockChecksum(body []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, x := range body {
		crc ^= uint16(x) << 8
		for range 8 {
			carry := crc & 0x8000
			crc <<= 1
			if carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return crc
}

// AppendTo appends the image. Its lengths are those of the BlockInfo: MC7Len = len(Body), LoadLen = 72 + len(Body) + len(Rest).
func (m *Block) AppendTo(b []byte) []byte {
	b = append(append(m.appendHead(b), m.Body...), m.Rest...)
	return m.appendFoot(b)
}

// Decode reads an image. It answers the error that it deserves, or 0. Of a block without a foot, as some tools send it, what a foot says is zero.
func (m *Block) Decode(image []byte) ErrorCode {
	c := wire.Over(image)
	var r Block
	if magic := r.decodeHead(&c); c.Bad() || magic != blockMagic {
		return ErrBlockHeader
	}
	r.Body = c.Bytes(int(r.MC7Len))
	if c.Bad() || int64(r.LoadLen) != int64(len(image)) {
		return ErrBlockLength
	}
	if c.Left() >= blockFootBytes {
		r.Rest = c.Bytes(c.Left() - blockFootBytes)
		r.decodeFoot(&c)
	} else {
		r.Rest = c.Rest()
	}
	*m = r
	return 0
}
