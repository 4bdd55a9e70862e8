package ua

// Scalars of up to eight bytes are written and read alike: by their width, low byte first.

// flatWidths are the bytes of the built-in types by their ids, 0 for those that are not flat.
const flatWidths = "\x00" + // Null
	"\x01\x01\x01\x02\x02\x04\x04\x08\x08" + // Boolean to UInt64
	"\x04\x08\x00\x08\x00\x00\x00\x00\x00" + // Float, Double, String, DateTime, Guid to ExpandedNodeId
	"\x04\x00\x00\x00\x00\x00\x00" // StatusCode, and what has no width

const flatSigned = 1<<TypeSByte | 1<<TypeInt16 | 1<<TypeInt32 | 1<<TypeInt64

// flatWidth returns how many bytes a scalar of the type takes, 0 when it is not flat; t may be any first byte of a Variant.
func flatWidth(t TypeId) int {
	if int(t) >= len(flatWidths) {
		return 0
	}
	return int(flatWidths[t])
}

// flatBits returns the bits of a scalar of w bytes that stand at the low end of raw.
func flatBits(t TypeId, w int, raw uint64) uint64 {
	shift := uint(64 - 8*w)
	switch {
	case w == 8:
		return raw
	case t == TypeBoolean:
		if raw&0xff != 0 {
			return 1
		}
		return 0
	case flatSigned>>t&1 != 0:
		return uint64(int64(raw<<(shift&63)) >> (shift & 63))
	}
	return raw << (shift & 63) >> (shift & 63)
}

// quiet returns the bits of a flat scalar as they are written: any NaN is the quiet one.
func (v *Variant) quiet() uint64 {
	const exp64, exp32 = 0x7ff << 52, 0x7f800000
	switch {
	case v.kind == TypeDouble && v.bits&^(1<<63) > exp64:
		return quietNaN64
	case v.kind == TypeFloat && v.bits&0x7fffffff > exp32:
		return quietNaN32
	}
	return v.bits
}
