// Package audit keeps who wrote what: a log of records that are chained by their hashes, each synced before what it tells of happens.
//
// A log is a directory of files, each a JSON record a line. The last field of a line is the SHA-256 of the hash in the line before and of
// the line up to there, so that a record cannot be changed, removed or moved without the next one telling. The first record of a file says
// with which record, and with how many bytes, the file before it ends. A file of its own, the head, says how far the log goes: what is cut
// off at the end is missed there.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Stage is what a record tells of a write.
type Stage string

// The stages. A write has Sending and Done when it was sent, Refused alone when it was not allowed, and those of its approval before.
const (
	File     Stage = "file"     // a file begins
	Asked    Stage = "asked"    // it waits for somebody to approve it
	Approved Stage = "approved" // by Who
	Rejected Stage = "rejected" // by Who; End says how it ended
	Sending  Stage = "sending"  // synced before it leaves
	Done     Stage = "done"     // End, and what the device has now
	Refused  Stage = "refused"  // nothing was sent
)

// Record is one line of the log. Empty fields are left out.
type Record struct {
	Seq   uint64    `json:"seq"`
	Time  time.Time `json:"time"`
	Stage Stage     `json:"stage"`
	Write uint64    `json:"write,omitempty"` // which write it is of: the Seq of that one's first record
	End   string    `json:"end,omitempty"`   // of Done, Rejected and Refused

	Who    string `json:"who,omitempty"`  // the user
	Via    string `json:"via,omitempty"`  // api or opcua
	From   string `json:"from,omitempty"` // network address
	Device string `json:"device,omitempty"`
	Tag    string `json:"tag,omitempty"` // full name

	Old        json.RawMessage `json:"old,omitempty"`         // the value before, as far as it was known
	OldQuality string          `json:"old_quality,omitempty"` // when it was not good
	New        json.RawMessage `json:"new,omitempty"`         // what is to be written
	Read       json.RawMessage `json:"read,omitempty"`        // what was read back

	Why    string `json:"why,omitempty"`    // in the words of who asked
	Reason string `json:"reason,omitempty"` // of the end, in the gateway's words
	Key    string `json:"key,omitempty"`    // idempotency key
	Digest string `json:"digest,omitempty"` // of the request, to know it again
	TookUS int64  `json:"took_us,omitempty"`

	*Begin
}

// Begin is what the first record of a file has.
type Begin struct {
	Version   int    `json:"version"`
	Number    uint64 `json:"number"`              // of the file
	Log       string `json:"log"`                 // random, the same in all files
	PrevBytes int64  `json:"prev_bytes"`          // of the file before, up to and with PrevHash's record
	PrevTorn  bool   `json:"prev_torn,omitempty"` // there may be bytes behind them, which were never acknowledged: of a crash, or of a disk that failed
	PrevSeq   uint64 `json:"prev_seq"`
	PrevHash  string `json:"prev_hash"`
}

const (
	formatVersion = 1
	maxLine       = 64 << 10 // bytes of a record
	hashField     = `,"hash":"`
	hashEnd       = "\"}\n"
	hashSize      = 2 * sha256.Size
)

// hash is the chain's.
type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

// appendRecord appends r's line behind a record with hash prev, and returns r's own.
func appendRecord(b []byte, r *Record, prev hash) ([]byte, hash, error) {
	body, err := json.Marshal(r.valid())
	if err == nil && len(body) > maxLine-len(hashField)-hashSize-len(hashEnd) {
		err = fmt.Errorf("audit: a record of %d bytes is too long", len(body))
	}
	if err != nil {
		return b, prev, err
	}
	h := chained(prev, body)
	b = append(b, body[:len(body)-1]...)
	b = append(b, hashField...)
	b = hex.AppendEncode(b, h[:])
	return append(b, hashEnd...), h, nil
}

// valid is r with texts that are UTF-8. JSON has no others: it escapes what stands for their bad bytes, and would not when they were read again.
func (r *Record) valid() *Record {
	v := *r
	for _, s := range []*string{(*string)(&v.Stage), &v.End, &v.Who, &v.Via, &v.From, &v.Device, &v.Tag, &v.OldQuality, &v.Why, &v.Reason, &v.Key, &v.Digest} {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
	return &v
}

// chained is the hash of a record, whose JSON without hash is body, behind prev.
func chained(prev hash, body []byte) (h hash) {
	s := sha256.New()
	s.Write(prev[:])
	s.Write(body)
	s.Sum(h[:0])
	return h
}

var (
	errLine      = errors.New("it is no record")
	errCanonical = errors.New("it is not as the gateway writes it")
)

// line is a line of the log taken apart.
type line struct {
	body []byte // the record as JSON, without its hash
	hash hash   // that stands in it
}

// split takes a line with its end apart.
func split(text []byte) (l line, err error) {
	at := len(text) - len(hashField) - hashSize - len(hashEnd)
	if at < 1 || len(text) > maxLine || !bytes.HasSuffix(text, []byte(hashEnd)) || string(text[at:at+len(hashField)]) != hashField {
		return l, errLine
	}
	sum := text[at+len(hashField) : at+len(hashField)+hashSize]
	if _, err := hex.Decode(l.hash[:], sum); err != nil || !bytes.Equal(sum, []byte(l.hash.String())) {
		return l, errLine
	}
	l.body = append(append(make([]byte, 0, at+1), text[:at]...), '}')
	return l, nil
}

// Decode reads one line, its end included. What the gateway would write otherwise is refused: each record has one form.
func Decode(text []byte) (Record, error) {
	l, err := split(text)
	if err != nil {
		return Record{}, err
	}
	return l.record()
}

func (l line) record() (r Record, err error) {
	d := json.NewDecoder(bytes.NewReader(l.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("%w: %w", errLine, err)
	}
	again, err := json.Marshal(&r)
	if err != nil || !bytes.Equal(again, l.body) {
		return r, errCanonical
	}
	return r, nil
}

func parseHash(text string) (h hash, ok bool) {
	p, err := hex.DecodeString(text)
	if err != nil || len(p) != len(h) {
		return h, false
	}
	copy(h[:], p)
	return h, true
}
