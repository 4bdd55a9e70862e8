package web

import (
	"encoding/json"
	"iter"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"millrace/internal/tag"
)

// timeFormat is RFC 3339 with milliseconds, always of one length.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"')
}

// appendMillis appends d in milliseconds, whole microseconds kept.
func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d.Microseconds())/1000, 'f', -1, 64)
}

func appendString(b []byte, s string) []byte {
	plain := true
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= 0x20 && s[i] != '"' && s[i] != '\\' && s[i] < utf8.RuneSelf
	}
	if plain {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	q, _ := json.Marshal(s) // a string always marshals
	return append(b, q...)
}

func appendDevice(b []byte, d *Device) []byte {
	b = appendString(append(b, `{"id":`...), d.ID)
	b = appendString(append(b, `,"protocol":`...), d.Protocol)
	b = appendString(append(b, `,"endpoint":`...), d.Endpoint)
	b = appendLabels(b, d.Labels)
	b = appendString(append(b, `,"state":`...), d.State)
	b = appendString(append(b, `,"reason":`...), d.Reason)
	b = appendTime(append(b, `,"since":`...), d.Since)
	b = strconv.AppendUint(append(b, `,"outages":`...), d.Outages, 10)
	b = strconv.AppendInt(append(b, `,"recovery_ms":`...), d.Recovery.Milliseconds(), 10)
	b = appendMillis(append(b, `,"rtt_ms":`...), d.RTT)
	if d.RequestCost > 0 || d.ByteCost > 0 {
		b = appendMillis(append(b, `,"request_ms":`...), d.RequestCost)
		b = strconv.AppendFloat(append(b, `,"byte_us":`...), float64(d.ByteCost)/1e3, 'f', -1, 64)
	}
	b = strconv.AppendBool(append(b, `,"out_of_service":`...), d.OutOfService)
	if d.Refuses {
		b = append(b, `,"refuses":true`...)
	}
	if d.Load > 0 {
		b = strconv.AppendFloat(append(b, `,"load":`...), math.Round(d.Load*1000)/1000, 'f', -1, 64)
	}
	if d.LoadWhy != "" {
		b = appendString(append(b, `,"load_why":`...), d.LoadWhy)
	}
	if d.Stretch > 1 {
		b = strconv.AppendFloat(append(b, `,"stretch":`...), d.Stretch, 'f', -1, 64)
		b = appendString(append(b, `,"stretch_why":`...), d.StretchWhy)
	}
	b = appendRoutes(b, &d.Routes)
	b = appendTrouble(b, d)
	b = append(b, `,"groups":[`...)
	for i := range d.Groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendGroup(b, &d.Groups[i])
	}
	return append(b, "]}"...)
}

// appendLabels appends the labels by name, and nothing of a device that has none.
func appendLabels(b []byte, labels map[string]string) []byte {
	if len(labels) == 0 {
		return b
	}
	next := `,"labels":{`
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b = appendString(append(b, next...), name)
		b = appendString(append(b, ':'), labels[name])
		next = ","
	}
	return append(b, '}')
}

// appendTrouble appends what a device has difficulties with, and nothing of one that has none.
func appendTrouble(b []byte, d *Device) []byte {
	if d.Loss > 0 {
		b = strconv.AppendFloat(append(b, `,"loss":`...), math.Round(d.Loss*1000)/1000, 'f', -1, 64)
	}
	if d.JitterRule {
		b = append(b, `,"jitter_rule":true`...)
	}
	if d.Degraded != "" {
		b = appendString(append(b, `,"degraded":{"level":`...), d.Degraded)
		b = appendTime(append(b, `,"since":`...), d.DegradedAt)
		b = append(appendString(append(b, `,"why":`...), d.DegradedWhy), '}')
	}
	if d.WritesPaused != "" {
		b = appendString(append(b, `,"writes_paused":`...), d.WritesPaused)
	}
	return b
}

func appendGroup(b []byte, g *Group) []byte {
	b = appendString(append(b, `{"name":`...), g.Name)
	b = appendMillis(append(b, `,"interval_ms":`...), g.Interval)
	if g.Every > 0 && g.Every != g.Interval {
		b = appendMillis(append(b, `,"every_ms":`...), g.Every)
	}
	b = appendMillis(append(b, `,"lag_ms":`...), g.Lag)
	b = strconv.AppendInt(append(b, `,"tags":`...), int64(g.Tags), 10)
	b = strconv.AppendUint(append(b, `,"missed":`...), g.Missed, 10)
	b = strconv.AppendInt(append(b, `,"requests":`...), int64(g.Requests), 10)
	b = appendMillis(append(b, `,"took_ms":`...), g.Took)
	return append(b, '}')
}

// appendTag appends g with its last value v.
func appendTag(b []byte, g *Tag, v *Sample, o tag.JSONOptions) []byte {
	b = strconv.AppendUint(append(b, `{"id":`...), uint64(g.ID), 10)
	b = appendString(append(b, `,"name":`...), g.Name)
	b = appendString(append(b, `,"device":`...), g.Device)
	b = appendString(append(b, `,"group":`...), g.Group)
	b = appendString(append(b, `,"address":`...), g.Address)
	b = appendString(append(b, `,"type":`...), g.Type)
	b = appendString(append(b, `,"unit":`...), g.Unit)
	b = strconv.AppendBool(append(b, `,"writable":`...), g.Writable)
	b = strconv.AppendBool(append(b, `,"out_of_service":`...), g.OutOfService)
	b = append(b, ',')
	return append(appendReading(b, v, o), '}')
}

// appendSample appends v, with its tag's name unless that is empty.
func appendSample(b []byte, name string, v *Sample, o tag.JSONOptions) []byte {
	b = strconv.AppendUint(append(b, `{"id":`...), uint64(v.ID), 10)
	if name != "" {
		b = appendString(append(b, `,"name":`...), name)
	}
	b = append(b, ',')
	return append(appendReading(b, v, o), '}')
}

func appendReading(b []byte, v *Sample, o tag.JSONOptions) []byte {
	b = v.Value.AppendJSON(append(b, `"value":`...), o)
	b = appendString(append(b, `,"quality":`...), v.Quality.String())
	b = append(b, `,"ts":`...)
	if v.TS == 0 {
		return append(b, "null"...)
	}
	return appendTime(b, time.Unix(0, v.TS))
}

// Document is the account of all values as scripts read it.
type Document struct {
	Values  LedgerValues     `json:"values"`
	Sinks   []LedgerSink     `json:"sinks"`
	Residue int64            `json:"residue"`
	Devices []DocumentDevice `json:"devices"`
}

// DocumentDevice is one device in a Document.
type DocumentDevice struct {
	ID         string `json:"id"`
	Protocol   string `json:"protocol"`
	State      string `json:"state"`
	Outages    uint64 `json:"outages"`
	RecoveryMS int64  `json:"recovery_ms"` // the longest, 0 without an outage
}

// NewDocument joins the ledger and the devices. No list and no map in it is null.
func NewDocument(l Ledger, devices iter.Seq[*Device]) Document {
	d := Document{Values: l.Values, Residue: l.Residue, Sinks: []LedgerSink{}, Devices: []DocumentDevice{}}
	d.Values.Dropped = notNil(d.Values.Dropped)
	for _, s := range l.Sinks {
		s.Dropped = notNil(s.Dropped)
		d.Sinks = append(d.Sinks, s)
	}
	for v := range devices {
		d.Devices = append(d.Devices, DocumentDevice{v.ID, v.Protocol, v.State, v.Outages, v.Recovery.Milliseconds()})
	}
	return d
}

func notNil(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return m
}

// sinkView is a Sink as JSON shows it.
type sinkView struct {
	Sink
	BehindS float64 `json:"behind_s"`
}

func sinkViews(sinks []Sink) []sinkView {
	views := make([]sinkView, 0, len(sinks))
	for _, s := range sinks {
		s.Dropped = notNil(s.Dropped)
		views = append(views, sinkView{s, s.Behind.Seconds()})
	}
	return views
}

// errorView is the body of every answer that is not 2xx.
type errorView struct {
	Error string `json:"error"`
	Todo  string `json:"todo"`
}

func writeError(w http.ResponseWriter, status int, what, todo string) {
	writeJSON(w, status, errorView{what, todo})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a view that cannot be written is a bug; the client still gets an answer
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON","todo":"report this"}`)
	}
	writeBytes(w, status, b)
}

// head begins an answer in JSON.
func head(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

func writeBytes(w http.ResponseWriter, status int, b []byte) {
	head(w, status)
	_, _ = w.Write(append(b, '\n')) // a client that went away needs no answer
}

func writeText(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s)) // a client that went away needs no answer
}
