package ua

// Bytes that the types take in memory, for Limits.Memory; held by a test.
const (
	sizeString          = 16
	sizeByteString      = 24
	sizeXmlElement      = 16
	sizeNodeId          = 24
	sizeExpandedNodeId  = 48
	sizeQualifiedName   = 24
	sizeLocalizedText   = 32
	sizeExtensionObject = 56
	sizeDataValue       = 80
	sizeVariant         = 48
	sizeDiagnosticInfo  = 56
	sizeGuid            = 16
	sizeMatrix          = 48
	sizeSlice           = 24
)

// Variant reads a Variant.
func (d *Decoder) Variant() (v Variant) {
	d.variant(&v)
	return v
}

// VariantInto reads a Variant into v, all of it. Ids of built-in types that are not yet defined (26 to 31) are read as ByteStrings.
func (d *Decoder) VariantInto(v *Variant) {
	*v = Variant{}
	d.variant(v)
}

// variant reads a Variant into v, which is zero.
func (d *Decoder) variant(v *Variant) {
	first := d.U8()
	kind := TypeId(first & variantType)
	if kind > TypeDiagnosticInfo {
		if kind > lastReservedType {
			d.fail(BadDecodingError, "a Variant of an unknown type")
			return
		}
		kind = TypeByteString
	}
	switch {
	case first&variantArray != 0:
		d.variantArray(v, kind, first&variantMatrix != 0)
	case first&variantMatrix != 0:
		d.fail(BadDecodingError, "a scalar Variant with dimensions")
	default:
		d.variantScalar(v, kind)
	}
}

const lastReservedType = 31

func (d *Decoder) variantScalar(v *Variant, kind TypeId) {
	v.kind = kind
	if w := flatWidth(kind); w > 0 {
		v.bits = flatBits(kind, w, d.flat(w))
		return
	}
	switch kind {
	case TypeNull:
	case TypeString, TypeXmlElement:
		v.setText(d.nullString())
	case TypeByteString:
		v.setText(d.byteText())
	case TypeGuid:
		v.text = d.textOf(16)
	case TypeNodeId:
		*v = NodeIdValue(d.NodeId())
	case TypeQualifiedName:
		*v = QualifiedNameValue(d.QualifiedName())
	default:
		d.variantRef(v, kind)
	}
}

// flat reads w bytes, low byte first.
func (d *Decoder) flat(w int) uint64 {
	if len(d.b)-d.at < w {
		d.short()
		return 0
	}
	var raw uint64
	for i, c := range d.b[d.at : d.at+w] {
		raw |= uint64(c) << (8 * i)
	}
	d.at += w
	return raw
}

func (v *Variant) setText(s string, null bool) {
	v.text = s
	if null {
		v.bits = 1
	}
}

// variantRef reads what a Variant holds by reference. Each of them is a level of nesting.
func (d *Decoder) variantRef(v *Variant, kind TypeId) {
	if kind == TypeVariant { // forbidden [OPC 10000-6 5.2.2.16] and sent all the same, by node-opcua for variables of BaseDataType: it says no more than what is in it
		if *v = (Variant{}); d.enter() {
			d.variant(v)
			d.depth++
		}
		return
	}
	if !d.enter() || !d.take(1, sizeDataValue) {
		return
	}
	switch kind {
	case TypeExpandedNodeId:
		v.ref = d.ExpandedNodeId()
	case TypeLocalizedText:
		v.ref = d.LocalizedText()
	case TypeExtensionObject:
		v.ref = d.ExtensionObject()
	case TypeDataValue:
		v.ref = d.DataValue()
	case TypeDiagnosticInfo:
		v.ref = d.DiagnosticInfo()
	}
	d.depth++
}

func (d *Decoder) variantArray(v *Variant, kind TypeId, dims bool) {
	if !d.enter() {
		return
	}
	*v = Variant{kind: kind, flag: variantArray, ref: d.elements(kind)}
	d.depth++
	if dims {
		d.dimensions(v)
	}
	if d.bad != 0 {
		*v = Variant{}
	}
}

// dimensions reads the dimensions behind the elements of v. One dimension says nothing new.
func (d *Decoder) dimensions(v *Variant) {
	dims := makeSlice[uint32](d, 4, 4)
	for i := range dims {
		dims[i] = d.U32()
	}
	switch {
	case len(dims) == 0:
	case !fits(dims, v.Len()):
		d.fail(BadDecodingError, "dimensions that do not fit the number of elements")
	case len(dims) > 1 && d.take(1, sizeMatrix):
		v.ref = &matrix{dims: dims, elements: v.ref}
		v.flag |= variantMatrix
	}
}

// elements reads an array into a typed slice. Once d is bad the rest of it stays zero. The loops are written out because a function value would
// make every Decoder escape to the heap.
func (d *Decoder) elements(kind TypeId) any {
	if !d.take(1, sizeSlice) {
		return nil
	}
	switch {
	case kind <= TypeDouble:
		return d.numbers(kind)
	case kind <= TypeNodeId || kind == TypeStatusCode:
		return d.texts(kind)
	}
	return d.composites(kind)
}

func (d *Decoder) numbers(kind TypeId) any {
	switch kind {
	case TypeByte:
		return d.byteArray()
	case TypeBoolean:
		s := makeSlice[bool](d, 1, 1)
		for i := range s {
			s[i] = d.Bool()
		}
		return s
	case TypeSByte:
		s := makeSlice[int8](d, 1, 1)
		for i := range s {
			s[i] = d.I8()
		}
		return s
	case TypeInt16:
		s := makeSlice[int16](d, 2, 2)
		for i := range s {
			s[i] = d.I16()
		}
		return s
	case TypeUInt16:
		s := makeSlice[uint16](d, 2, 2)
		for i := range s {
			s[i] = d.U16()
		}
		return s
	case TypeInt32:
		s := makeSlice[int32](d, 4, 4)
		for i := range s {
			s[i] = d.I32()
		}
		return s
	case TypeUInt32:
		s := makeSlice[uint32](d, 4, 4)
		for i := range s {
			s[i] = d.U32()
		}
		return s
	case TypeInt64:
		s := makeSlice[int64](d, 8, 8)
		for i := range s {
			s[i] = d.I64()
		}
		return s
	case TypeUInt64:
		s := makeSlice[uint64](d, 8, 8)
		for i := range s {
			s[i] = d.U64()
		}
		return s
	case TypeFloat:
		s := makeSlice[float32](d, 4, 4)
		for i := range s {
			s[i] = d.F32()
		}
		return s
	case TypeDouble:
		s := makeSlice[float64](d, 8, 8)
		for i := range s {
			s[i] = d.F64()
		}
		return s
	}
	d.fail(BadDecodingError, "an array of nothing")
	return nil
}

func (d *Decoder) texts(kind TypeId) any {
	switch kind {
	case TypeString:
		s := makeSlice[string](d, 4, sizeString)
		for i := range s {
			s[i] = d.String()
		}
		return s
	case TypeDateTime:
		s := makeSlice[DateTime](d, 8, 8)
		for i := range s {
			s[i] = d.DateTime()
		}
		return s
	case TypeGuid:
		s := makeSlice[Guid](d, 16, sizeGuid)
		for i := range s {
			s[i] = d.Guid()
		}
		return s
	case TypeByteString:
		s := makeSlice[[]byte](d, 4, sizeByteString)
		for i := range s {
			s[i] = d.Bytes()
		}
		return s
	case TypeXmlElement:
		s := makeSlice[XmlElement](d, 4, sizeXmlElement)
		for i := range s {
			s[i] = d.XmlElement()
		}
		return s
	case TypeNodeId:
		s := makeSlice[NodeId](d, 2, sizeNodeId)
		for i := range s {
			s[i] = d.NodeId()
		}
		return s
	case TypeStatusCode:
		s := makeSlice[StatusCode](d, 4, 4)
		for i := range s {
			s[i] = d.StatusCode()
		}
		return s
	}
	return nil
}

func (d *Decoder) composites(kind TypeId) any {
	switch kind {
	case TypeExpandedNodeId:
		s := makeSlice[ExpandedNodeId](d, 2, sizeExpandedNodeId)
		for i := range s {
			s[i] = d.ExpandedNodeId()
		}
		return s
	case TypeQualifiedName:
		s := makeSlice[QualifiedName](d, 6, sizeQualifiedName)
		for i := range s {
			s[i] = d.QualifiedName()
		}
		return s
	case TypeLocalizedText:
		s := makeSlice[LocalizedText](d, 1, sizeLocalizedText)
		for i := range s {
			s[i] = d.LocalizedText()
		}
		return s
	case TypeExtensionObject:
		s := makeSlice[ExtensionObject](d, 3, sizeExtensionObject)
		for i := range s {
			s[i] = d.ExtensionObject()
		}
		return s
	case TypeDiagnosticInfo:
		s := makeSlice[DiagnosticInfo](d, 1, sizeDiagnosticInfo)
		for i := range s {
			s[i] = d.DiagnosticInfo()
		}
		return s
	case TypeDataValue:
		s := makeSlice[DataValue](d, 1, sizeDataValue)
		for i := range s {
			d.dataValue(&s[i])
		}
		return s
	case TypeVariant:
		s := makeSlice[Variant](d, 1, sizeVariant)
		for i := range s {
			d.variant(&s[i])
		}
		return s
	}
	return nil
}

// byteArray reads an array of Byte, which is always a copy.
func (d *Decoder) byteArray() []byte {
	s := makeSlice[byte](d, 1, 1)
	d.at += copy(s, d.b[d.at:])
	return s
}
