package s7

import "strconv"

// BlockType is the ASCII digit of a kind of block.
type BlockType uint8

// The types.
const (
	BlockOB  BlockType = '8'
	BlockDB  BlockType = 'A'
	BlockSDB BlockType = 'B'
	BlockFC  BlockType = 'C'
	BlockSFC BlockType = 'D'
	BlockFB  BlockType = 'E'
	BlockSFB BlockType = 'F'
)

// Known reports whether t is one of the seven types.
func (t BlockType) Known() bool { return t.Subtype() != 0 }

// Subtype returns the number that BlockInfo and the header of a block have for t, 0 when it is unknown.
func (t BlockType) Subtype() uint8 {
	switch t {
	case BlockOB:
		return 0x08
	case BlockDB:
		return 0x0A
	case BlockSDB:
		return 0x0B
	case BlockFC:
		return 0x0C
	case BlockSFC:
		return 0x0D
	case BlockFB:
		return 0x0E
	case BlockSFB:
		return 0x0F
	}
	return 0
}

// String names t, or returns its byte.
func (t BlockType) String() string {
	switch t {
	case BlockOB:
		return "OB"
	case BlockDB:
		return "DB"
	case BlockSDB:
		return "SDB"
	case BlockFC:
		return "FC"
	case BlockSFC:
		return "SFC"
	case BlockFB:
		return "FB"
	case BlockSFB:
		return "SFB"
	}
	return "block type " + strconv.Itoa(int(t))
}

// File systems of a block.
const (
	FileActive  = 'A' // linked, in work memory
	FilePassive = 'P' // in load memory
	FileBoth    = 'B'
)

// BlockFile names a block in a job: _0A00001P is DB 1, passive.
type BlockFile struct {
	Type   BlockType
	Number uint32 // 0..99999
	System byte   // FileActive, FilePassive, FileBoth
}

const (
	blockDigits   = 5
	blockNameLen  = 1 + 1 + blockDigits + 1 // 0A00001P
	blockFileLen  = 1 + blockNameLen        // _0A00001P
	blockFileMark = '_'
	blockTypeMark = '0'
)

// String returns the block as an engineer names it: DB1.
func (f BlockFile) String() string { return f.Type.String() + strconv.Itoa(int(f.Number)) }

// appendName appends the 8 bytes 0A00001P.
func (f BlockFile) appendName(b []byte) []byte {
	return append(appendDigits(append(b, blockTypeMark, byte(f.Type)), f.Number, blockDigits), f.System)
}

// appendFile appends the length and the 9 bytes _0A00001P.
func (f BlockFile) appendFile(b []byte) []byte {
	return f.appendName(append(b, blockFileLen, blockFileMark))
}

// decodeName reads 0A00001P.
func (f *BlockFile) decodeName(name []byte) bool {
	if len(name) != blockNameLen || name[0] != blockTypeMark {
		return false
	}
	n, ok := digits(name[2 : 2+blockDigits])
	r := BlockFile{Type: BlockType(name[1]), Number: n, System: name[blockNameLen-1]}
	if !ok || !r.Type.Known() || r.System != FileActive && r.System != FilePassive && r.System != FileBoth {
		return false
	}
	*f = r
	return true
}

// decodeFile reads _0A00001P.
func (f *BlockFile) decodeFile(name []byte) bool {
	return len(name) == blockFileLen && name[0] == blockFileMark && f.decodeName(name[1:])
}

// appendDigits appends the last n digits of v.
func appendDigits(b []byte, v uint32, n int) []byte {
	at := len(b)
	for range n {
		b = append(b, 0)
	}
	for i := at + n - 1; i >= at; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}

// digits reads at most 9 digits.
func digits(b []byte) (uint32, bool) {
	var v uint32
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		v = v*10 + uint32(d-'0')
	}
	return v, len(b) > 0 && len(b) <= 9
}
