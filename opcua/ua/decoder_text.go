package ua

// textWindow is how much of the input is copied at once for the strings in it.
const textWindow = 32 << 10

// String reads a String; null and empty are both "".
func (d *Decoder) String() string {
	s, _ := d.nullString()
	return s
}

// XmlElement reads an XmlElement.
func (d *Decoder) XmlElement() XmlElement { return XmlElement(d.String()) }

// nullString reads a String and whether it was null.
func (d *Decoder) nullString() (s string, null bool) {
	n := d.length(d.maxString)
	if n < 0 {
		return "", true
	}
	return d.textOf(n), false
}

// byteText reads a ByteString as a string of its bytes, and whether it was null.
func (d *Decoder) byteText() (s string, null bool) {
	n := d.length(d.maxBytes)
	if n < 0 {
		return "", true
	}
	return d.textOf(n), false
}

// length reads the length of a string and checks it against what is left and against limit. It answers -1 for null and for bad.
func (d *Decoder) length(limit int) int {
	n := int(d.I32())
	switch {
	case d.bad != 0:
		return -1
	case n < -1:
		d.fail(BadDecodingError, "a negative length")
		return -1
	case n > limit:
		d.fail(BadEncodingLimitsExceeded, "a string that is too long")
		return -1
	case n > len(d.b)-d.at:
		d.short()
		return -1
	}
	return n
}

// textOf returns the next n bytes, cut from the copy that strings share.
func (d *Decoder) textOf(n int) string {
	if n > len(d.b)-d.at {
		d.short()
		return ""
	}
	if n == 0 {
		return ""
	}
	if d.at < d.textAt || d.at+n > d.textAt+len(d.text) {
		if !d.copyText(n) {
			return ""
		}
	}
	from := d.at - d.textAt
	d.at += n
	return d.text[from : from+n]
}

// allocRound is what a small allocation may take more than was asked for.
const allocRound = 16

// copyText copies what comes, at least n bytes of it.
func (d *Decoder) copyText(n int) bool {
	n = max(n, min(textWindow, len(d.b)-d.at))
	if !d.take(n, 1) {
		return false
	}
	d.text, d.textAt = string(d.b[d.at:d.at+n]), d.at
	return true
}

// Bytes reads a ByteString: nil for null. It is a copy, or with Alias a part of the input that cannot be appended over.
func (d *Decoder) Bytes() []byte {
	n := d.length(d.maxBytes)
	if n < 0 {
		return nil
	}
	p := d.b[d.at : d.at+n : d.at+n]
	if !d.Alias {
		if !d.take(n+allocRound, 1) {
			return nil
		}
		p = append(make([]byte, 0, n), p...)
	}
	d.at += n
	return p
}
