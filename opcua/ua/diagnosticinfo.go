package ua

// DiagnosticInfo is what a server says about a bad result beyond its StatusCode; the first four are indexes into the StringTable of the
// response header, -1 for none [OPC 10000-4 7.12].
type DiagnosticInfo struct {
	SymbolicId          int32
	NamespaceUri        int32
	Locale              int32
	LocalizedText       int32
	AdditionalInfo      string
	InnerStatusCode     StatusCode
	InnerDiagnosticInfo *DiagnosticInfo
	Has                 DiagnosticInfoMask // which fields are there
}

// DiagnosticInfoMask says which fields of a DiagnosticInfo are there. Its values are those of the wire [OPC 10000-6 5.2.2.12].
type DiagnosticInfoMask uint8

// The fields of a DiagnosticInfo.
const (
	HasSymbolicId          DiagnosticInfoMask = 0x01
	HasNamespaceUri        DiagnosticInfoMask = 0x02
	HasLocalizedText       DiagnosticInfoMask = 0x04
	HasLocale              DiagnosticInfoMask = 0x08
	HasAdditionalInfo      DiagnosticInfoMask = 0x10
	HasInnerStatusCode     DiagnosticInfoMask = 0x20
	HasInnerDiagnosticInfo DiagnosticInfoMask = 0x40
)

// AppendDiagnosticInfo appends x.
func AppendDiagnosticInfo(b []byte, x DiagnosticInfo) []byte { return x.AppendTo(b) }

// AppendTo appends x and what is inside it.
func (x *DiagnosticInfo) AppendTo(b []byte) []byte {
	for {
		has := x.mask()
		b = x.appendFlat(append(b, byte(has)), has)
		if has&HasInnerDiagnosticInfo == 0 {
			return b
		}
		x = x.InnerDiagnosticInfo
	}
}

// mask returns the fields that are written: those of Has, and those whose contents speak for themselves.
func (x *DiagnosticInfo) mask() DiagnosticInfoMask {
	has := x.Has &^ HasInnerDiagnosticInfo & 0x7f
	if x.AdditionalInfo != "" {
		has |= HasAdditionalInfo
	}
	if x.InnerStatusCode != 0 {
		has |= HasInnerStatusCode
	}
	if x.InnerDiagnosticInfo != nil {
		has |= HasInnerDiagnosticInfo
	}
	return has
}

func (x *DiagnosticInfo) appendFlat(b []byte, has DiagnosticInfoMask) []byte {
	if has&HasSymbolicId != 0 {
		b = AppendInt32(b, x.SymbolicId)
	}
	if has&HasNamespaceUri != 0 {
		b = AppendInt32(b, x.NamespaceUri)
	}
	if has&HasLocale != 0 {
		b = AppendInt32(b, x.Locale)
	}
	if has&HasLocalizedText != 0 {
		b = AppendInt32(b, x.LocalizedText)
	}
	if has&HasAdditionalInfo != 0 {
		b = AppendString(b, x.AdditionalInfo)
	}
	if has&HasInnerStatusCode != 0 {
		b = AppendStatusCode(b, x.InnerStatusCode)
	}
	return b
}

// DiagnosticInfo reads a DiagnosticInfo. Each one inside another counts as a level of nesting.
func (d *Decoder) DiagnosticInfo() (x DiagnosticInfo) {
	at := &x
	entered := 0
	for d.flatDiagnosticInfo(at); at.Has&HasInnerDiagnosticInfo != 0; d.flatDiagnosticInfo(at) {
		entered++
		if !d.enter() || !d.take(1, sizeDiagnosticInfo) {
			at.Has &^= HasInnerDiagnosticInfo
			break
		}
		at.InnerDiagnosticInfo = new(DiagnosticInfo)
		at = at.InnerDiagnosticInfo
	}
	d.depth += entered
	return x
}

func (d *Decoder) flatDiagnosticInfo(x *DiagnosticInfo) {
	x.Has = DiagnosticInfoMask(d.U8() & 0x7f)
	if x.Has&HasSymbolicId != 0 {
		x.SymbolicId = d.I32()
	}
	if x.Has&HasNamespaceUri != 0 {
		x.NamespaceUri = d.I32()
	}
	if x.Has&HasLocale != 0 {
		x.Locale = d.I32()
	}
	if x.Has&HasLocalizedText != 0 {
		x.LocalizedText = d.I32()
	}
	if x.Has&HasAdditionalInfo != 0 {
		x.AdditionalInfo = d.String()
	}
	if x.Has&HasInnerStatusCode != 0 {
		x.InnerStatusCode = d.StatusCode()
	}
}
