package ua

import "strconv"

// XmlElement is a piece of XML as text.
type XmlElement string

// QualifiedName is a name within a namespace [OPC 10000-3 8.3].
type QualifiedName struct {
	NamespaceIndex uint16
	Name           string
}

// String returns the form 2:name; the index 0 is left out.
func (q QualifiedName) String() string {
	if q.NamespaceIndex == 0 {
		return q.Name
	}
	return strconv.Itoa(int(q.NamespaceIndex)) + ":" + q.Name
}

// AppendQualifiedName appends q.
func AppendQualifiedName(b []byte, q QualifiedName) []byte {
	return AppendString(AppendUInt16(b, q.NamespaceIndex), q.Name)
}

// QualifiedName reads a QualifiedName.
func (d *Decoder) QualifiedName() QualifiedName {
	return QualifiedName{NamespaceIndex: d.U16(), Name: d.String()}
}

// LocalizedText is a text for people and its locale ("en-US"), which may be empty [OPC 10000-3 8.5].
type LocalizedText struct {
	Locale string
	Text   string
}

// String returns the text.
func (l LocalizedText) String() string { return l.Text }

const (
	textHasLocale = 1
	textHasText   = 2
)

// AppendLocalizedText appends l; an empty part is left out.
func AppendLocalizedText(b []byte, l LocalizedText) []byte {
	var mask byte
	if l.Locale != "" {
		mask |= textHasLocale
	}
	if l.Text != "" {
		mask |= textHasText
	}
	b = append(b, mask)
	if l.Locale != "" {
		b = AppendString(b, l.Locale)
	}
	if l.Text != "" {
		b = AppendString(b, l.Text)
	}
	return b
}

// LocalizedText reads a LocalizedText.
func (d *Decoder) LocalizedText() (l LocalizedText) {
	mask := d.U8()
	if mask&textHasLocale != 0 {
		l.Locale = d.String()
	}
	if mask&textHasText != 0 {
		l.Text = d.String()
	}
	return l
}
