package why

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/resilience"
	"millrace/internal/tag"
	"millrace/modbus"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
	"millrace/s7"
)

var update = flag.Bool("update", false, "write the table of causes into docs/why.md")

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// before returns a time so long before the moment of the facts.
func before(d time.Duration) time.Time { return noon.Add(-d) }

// facts are Facts with devices that a test can change.
type facts struct {
	Facts
	all []device.Status
}

// each goes through all devices as a gateway does: each is overwritten by the next.
func (f *facts) each(yield func(*device.Status) bool) {
	var s device.Status
	for i := range f.all {
		groups := append(s.Groups[:0], f.all[i].Groups...)
		s = f.all[i]
		s.Groups = groups
		if !yield(&s) {
			return
		}
	}
}

// healthy returns the facts of a device with which all is well: press, one of four that are alone on their connections.
func healthy() *facts {
	status := func(n int) device.Status {
		return device.Status{
			Name: fmt.Sprintf("press%d", n), Number: uint32(n), Protocol: "modbus", Endpoint: fmt.Sprintf("modbus://10.1.%d.7:502/1", n), State: device.Ready, Reason: "connected", Since: before(time.Hour),
			Configured: before(time.Hour), Shares: fmt.Sprintf("modbus 10.1.%d.7:502", n), Slots: 1, RTT: 5 * time.Millisecond, Jitter: time.Millisecond, Timeout: 200 * time.Millisecond, Reads: 3600,
			Groups: []device.GroupStatus{{Name: "fast", Interval: time.Second, Tags: 3, Active: 3, Requests: 1, Took: 6 * time.Millisecond, LastRead: before(500 * time.Millisecond)}},
		}
	}
	f := &facts{all: []device.Status{status(1), status(2), status(3), status(4)}}
	f.Facts = Facts{
		Now: noon, Device: status(1), Spec: device.Spec{Profile: resilience.LAN()}, All: f.each,
		Gateway: Gateway{Started: before(time.Hour), CPU: -1, Free: -1},
		Evidence: device.Evidence{
			RTT:   device.RTTPicture{Began: before(4 * time.Minute), Samples: 240, Min: 4 * time.Millisecond, Median: 5 * time.Millisecond, P99: 7 * time.Millisecond, Max: 9 * time.Millisecond, Usual: 5 * time.Millisecond},
			TCP:   device.TCPSample{At: before(2 * time.Second), TCPInfo: device.TCPInfo{RTT: time.Millisecond, MinRTT: time.Millisecond}, Window: 40 * time.Second, Sent: 40},
			Moved: device.Movement{Changes: 3600, First: before(time.Hour), Last: before(time.Second)},
		},
	}
	for i := range 3 {
		f.Tags = append(f.Tags, TagState{Name: fmt.Sprintf("press1/t%d", i), Group: "fast", Address: fmt.Sprintf("holding:%d:uint16", i), Value: "7", Told: "7", At: before(500 * time.Millisecond)})
	}
	return f
}

// down takes the device down for a minute by faults of a kind.
func (f *facts) down(k device.FaultKind, err error) {
	f.Device.State, f.Device.DownSince, f.Device.Since, f.Device.Reason = device.Cooling, before(time.Minute), before(3*time.Second), "down"
	f.Device.RetryAt, f.Device.Outages = noon.Add(2*time.Second), 1
	f.fails(k, err, 17)
	f.all[0] = f.Device
	f.quality(tag.UncertainLastUsable)
}

// fails adds a fault of the last minute.
func (f *facts) fails(k device.FaultKind, err error, n uint64) {
	f.Evidence.Faults = append([]device.Fault{{Kind: k, Count: n, Total: n, First: before(time.Minute), Last: before(3 * time.Second), Err: err}}, f.Evidence.Faults...)
}

func (f *facts) quality(q tag.Quality) {
	for i := range f.Tags {
		f.Tags[i].Quality = q
	}
}

// ask asks about the first tag.
func (f *facts) ask() *TagState {
	f.Tag = &f.Tags[0]
	return f.Tag
}

func dialError(err error) error {
	return fmt.Errorf("modbus: dial 10.1.1.7:502: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err})
}

// injection makes the facts those of a cause, and says what the evidence has to name.
type injection struct {
	cause string
	names string
	make  func(f *facts)
}

// injections has every cause, some of them in several ways.
var injections = []injection{
	{"well", "240", func(*facts) {}},
	{"well", "0 outages", func(f *facts) { f.ask() }},
	{"well", "idle for 1s", func(f *facts) { f.Device.State, f.Device.Since = device.Idle, before(time.Second) }},
	{"draining", "draining for 3s", func(f *facts) { f.Device.State, f.Device.Since = device.Draining, before(3*time.Second) }},
	{"out_of_service", "valve is changed, for 1h0m0s", func(f *facts) {
		f.Device.State, f.Device.OutOfService, f.Device.Reason = device.OutOfService, true, "out of service: valve is changed"
	}},
	{"out_of_service", "by the healing rule sick", func(f *facts) {
		f.Device.State, f.Device.OutOfService, f.Device.Reason = device.OutOfService, true, "out of service: healing: rule sick for north"
	}},
	{"tag_out_of_service", "1 of the device's 3 tags", func(f *facts) {
		t := f.ask()
		t.OutOfService, t.Quality = true, tag.BadOutOfService
	}},
	{"tag_no_place", "PDU 240", func(f *facts) {
		f.Device.Limits.PDU = 240
		f.ask().Quality = tag.BadConfigurationError
	}},
	{"tag_refused", "area 3, 7-9", func(f *facts) {
		f.Device.Limits.Holes = []device.Span{{Area: 3, From: 7, To: 9}}
		f.fails(device.FaultRefusal, &modbus.Error{Function: modbus.FuncReadHolding, Unit: 1, Address: 7, Quantity: 3, Exception: modbus.IllegalDataAddress}, 2)
		f.ask().Quality = tag.BadNodeIDUnknown
	}},
	{"tag_refused", "0x0A", func(f *facts) {
		err := &s7.Error{Function: s7.FuncRead, Item: s7.Item{Area: s7.AreaDB, DB: 7, Count: 1}, Code: s7.ReturnNoObject}
		f.fails(device.FaultRefusal, err, 1)
		f.Device.Groups[0].Refusal = err.Error()
		f.ask().Quality = tag.BadNodeIDUnknown
	}},
	{"tag_left_out", "degraded: answers only part", func(f *facts) {
		f.Device.State, f.Device.Reason = device.Degraded, "answers only part of what it is asked"
		f.ask().Quality = tag.UncertainLastUsable
	}},
	{"tag_waiting", "every 1m0s, last never yet", func(f *facts) {
		f.Device.Groups[0].Interval, f.Device.Groups[0].LastRead = time.Minute, time.Time{}
		t := f.ask()
		t.Quality, t.At, t.Value = tag.BadWaitingForInitialData, time.Time{}, ""
	}},
	{"own_limit", "17 times", func(f *facts) {
		f.down(device.FaultOwn, errors.New("the gateway has as many connections open as it may"))
	}},
	{"config_changed", "configured 1m10s ago", func(f *facts) {
		f.Device.Configured = before(70 * time.Second)
		f.down(device.FaultRefused, dialError(syscall.ECONNREFUSED))
	}},
	{"config_changed", "exception 2", func(f *facts) {
		f.Device.Configured = before(70 * time.Second)
		f.fails(device.FaultRefusal, &modbus.Error{Function: modbus.FuncReadHolding, Exception: modbus.IllegalDataAddress}, 1)
		f.Tags[1].Quality = tag.BadNodeIDUnknown
	}},
	{"subnet_down", "press1, press2, press3", func(f *facts) {
		f.down(device.FaultNoAnswer, dialError(os.ErrDeadlineExceeded))
		for i := range 3 {
			f.all[i].Endpoint, f.all[i].State, f.all[i].DownSince = fmt.Sprintf("s7://10.1.1.%d:102", i+7), device.Cooling, before(time.Duration(60+5*i)*time.Second)
		}
	}},
	{"unit_silent", "press2, press3", func(f *facts) {
		f.down(device.FaultTimeout, os.ErrDeadlineExceeded)
		f.all[1].Shares, f.all[2].Shares = f.Device.Shares, f.Device.Shares
	}},
	{"unit_silent", "exception 11", func(f *facts) {
		f.down(device.FaultTimeout, &driver.UnitError{Unit: 3, Err: &modbus.Error{Function: modbus.FuncReadHolding, Unit: 3, Exception: modbus.GatewayTargetFailed}})
		f.all[1].Shares = f.Device.Shares
	}},
	{"name", "not found true", func(f *facts) {
		f.Device.Endpoint = "modbus://press.plant:502/1"
		f.down(device.FaultName, dialError(&net.DNSError{Err: "no such host", Name: "press.plant", IsNotFound: true}))
	}},
	{"no_route", "no route to host", func(f *facts) { f.down(device.FaultRoute, dialError(syscall.EHOSTUNREACH)) }},
	{"certificate", "AABBCC", func(f *facts) {
		f.down(device.FaultHandshake, &opcua.DialError{Stage: opcua.StageOpen, Status: ua.BadSecurityChecksFailed, Fingerprint: "AABBCC", Err: ua.BadSecurityChecksFailed})
	}},
	{"certificate", "DDEEFF", func(f *facts) {
		cert := &uasc.CertificateError{Check: uasc.CheckTrust, Status: ua.BadCertificateUntrusted, Thumbprint: "DDEEFF", Reason: "it is not in the trust list"}
		f.down(device.FaultHandshake, &opcua.DialError{Stage: opcua.StageChoose, Status: ua.BadCertificateUntrusted, Server: "DDEEFF", Err: cert})
	}},
	{"login", "BadIdentityTokenRejected", func(f *facts) {
		f.down(device.FaultHandshake, &opcua.DialError{Stage: opcua.StageActivate, User: "UserName", Status: ua.BadIdentityTokenRejected, Err: ua.BadIdentityTokenRejected})
	}},
	{"own_session", "we lost a connection there 40s ago", func(f *facts) {
		f.down(device.FaultHungUp, io.EOF)
		f.Device.HalfOpen, f.Device.HalfOpenSince = 1, f.Now.Add(-40*time.Second)
	}},
	{"own_session", "congestion at connect", func(f *facts) {
		f.down(device.FaultHandshake, &s7.HandshakeError{Stage: s7.StageConnect, Called: []byte{2, 1}, Err: &s7.DisconnectedError{Reason: s7.DisconnectRemoteCongestion}})
		f.Device.HalfOpen, f.Device.HalfOpenSince = 1, f.Now.Add(-40*time.Second)
	}},
	{"handshake_refused", "reason 3", func(f *facts) { // which is not for want of room
		f.down(device.FaultHandshake, &s7.HandshakeError{Stage: s7.StageConnect, Called: []byte{2, 1}, Err: &s7.DisconnectedError{Reason: s7.DisconnectAddressUnknown}})
		f.Device.HalfOpen, f.Device.HalfOpenSince = 1, f.Now.Add(-40*time.Second)
	}},
	{"sessions_full", "BadTooManySessions", func(f *facts) {
		f.down(device.FaultHandshake, &opcua.DialError{Stage: opcua.StageCreate, Status: ua.BadTooManySessions, Err: ua.BadTooManySessions})
	}},
	{"sessions_full", "reason 129", func(f *facts) {
		f.down(device.FaultHandshake, &s7.HandshakeError{Stage: s7.StageConnect, Called: []byte{2, 1}, Err: &s7.DisconnectedError{Reason: s7.DisconnectRemoteCongestion}})
	}},
	{"handshake_refused", "reason 3", func(f *facts) {
		f.down(device.FaultHandshake, &s7.HandshakeError{Stage: s7.StageConnect, Called: []byte{2, 1}, Err: &s7.DisconnectedError{Reason: s7.DisconnectAddressUnknown}})
	}},
	{"handshake_refused", "960", func(f *facts) {
		f.down(device.FaultHandshake, &s7.HandshakeError{Stage: s7.StageSetup, Called: []byte{2, 1}, Err: &s7.GrantError{Asked: 960, Granted: 9}})
	}},
	{"port_closed", "17 times", func(f *facts) { f.down(device.FaultRefused, dialError(syscall.ECONNREFUSED)) }},
	{"foreign_answers", "transaction 9", func(f *facts) {
		f.down(device.FaultOther, &modbus.ClosedError{Err: &modbus.ForeignError{Transaction: 9, Unit: 2, Function: 3, Why: "unit"}})
		f.fails(device.FaultForeign, nil, 4)
		f.Device.Foreign = 4
	}},
	{"foreign_answers", "foreign reply (length)", func(f *facts) {
		f.down(device.FaultOther, &modbus.ClosedError{Err: &modbus.ForeignError{Transaction: 9, Unit: 2, Function: 3, Length: 2, Why: "length"}})
		f.fails(device.FaultForeign, nil, 4)
		f.Device.Foreign = 4
	}},
	{"hangs_up", "reset (RST) by the other side 17 times", func(f *facts) { f.down(device.FaultReset, syscall.ECONNRESET) }},
	{"hangs_up", "closed (FIN) by the other side 17 times", func(f *facts) { f.down(device.FaultHungUp, io.EOF) }},
	{"handshake_silent", "17 times", func(f *facts) {
		f.down(device.FaultMute, &s7.HandshakeError{Stage: s7.StageConnect, Called: []byte{2, 1}, Err: os.ErrDeadlineExceeded})
	}},
	{"no_answer", "17 times", func(f *facts) { f.down(device.FaultNoAnswer, dialError(os.ErrDeadlineExceeded)) }},
	{"unheard", "2 not acknowledged", func(f *facts) {
		f.Evidence.TCP.Unacked = 2
		f.down(device.FaultUnheard, syscall.ETIMEDOUT)
	}},
	{"silent", "51 times without an answer", func(f *facts) {
		f.Device.Timeouts = 51
		f.down(device.FaultTimeout, os.ErrDeadlineExceeded)
	}},
	{"limited", "412 polls missed", func(f *facts) {
		f.Spec.RequestsPerSecond = 8
		f.Device.Groups[0].Requests, f.Device.Groups[0].Missed = 20, 412
		f.all[0] = f.Device
	}},
	{"limited", "pause_after_connect is 10s", func(f *facts) {
		f.Spec.PauseAfterConnect = 10 * time.Second
		f.Device.Since, f.Device.Groups[0].LastRead = before(3*time.Second), time.Time{}
	}},
	{"gateway_overload", "late by up to 400ms", func(f *facts) {
		for i := range f.all {
			f.all[i].Groups[0].Lag = 400 * time.Millisecond
		}
		f.Device.Groups[0].Lag = 400 * time.Millisecond
	}},
	{"gateway_overload", "3s behind their due times", func(f *facts) {
		f.Gateway.Overload, f.Gateway.Late = "group fast, of 9000 devices, is read 9000 times a second", 3*time.Second
	}},
	{"gateway_overload", "93 %", func(f *facts) {
		f.Gateway.CPU, f.Gateway.OwnCPU = 0.93, 0.2
		f.Device.Groups[0].Lag = 400 * time.Millisecond
	}},
	{"lossy_network", "9 of 40 segments", func(f *facts) { f.Evidence.TCP.Resent = 9 }},
	{"lossy_network", "3 times in a row", func(f *facts) { f.Evidence.TCP.Backoff = 3 }},
	{"slow_network", "80 % of an answer's time", func(f *facts) {
		f.Device.RTT, f.Evidence.TCP.RTT = 500*time.Millisecond, 400*time.Millisecond
	}},
	{"slow_device", "500ms", func(f *facts) { f.Device.RTT = 500 * time.Millisecond }},
	{"slow_device", "12 answers too late", func(f *facts) {
		f.down(device.FaultTimeout, os.ErrDeadlineExceeded)
		f.fails(device.FaultLate, nil, 12)
	}},
	{"endpoint_overload", "press2, group fast takes 1.2s, every 1s: 120 %", func(f *facts) {
		f.all[1].Shares, f.all[1].Groups[0].Took, f.all[1].Groups[0].Missed = f.Device.Shares, 1200*time.Millisecond, 30
	}},
	{"endpoint_overload", "busy 85 % of the time", func(f *facts) {
		f.all[0].Load, f.all[0].LoadWhy = 0.85, "the connection of press1 is busy 85 % of the time"
	}},
	{"suspected", "phi is 9.5", func(f *facts) { f.Device.Suspicion, f.Device.Phi = "its silence is longer than ever", 9.5 }},
	{"stretched", "millrace heal history busy --all", func(f *facts) { f.Device.Stretch, f.Device.StretchWhy = 4, "healing: rule busy for node" }},
	{"stretched", "every 4s in place of 1s", func(f *facts) {
		f.Device.Stretch, f.Device.StretchWhy, f.Device.Groups[0].Every = 4, "the gateway is late", 4*time.Second
	}},
	{"dial_queue", "3412 connections wait", func(f *facts) {
		f.Device.State, f.Device.Since, f.Gateway.Waiting, f.Gateway.Slowed = device.Opening, before(8*time.Second), 3412, []string{"10.1.1.0/24"}
	}},
	{"jitter", "deviation 60ms", func(f *facts) { f.Device.RTT, f.Device.Jitter = 50*time.Millisecond, 60*time.Millisecond }},
	{"drops", "4 outages", func(f *facts) {
		f.fails(device.FaultClosed, io.EOF, 4)
		f.Device.Outages = 4
	}},
	{"plc_stop", "changed 3600 times", func(f *facts) { f.Evidence.Moved.Last = before(time.Minute) }},
	{"plc_stop", "0x8404", func(f *facts) {
		f.fails(device.FaultRefusal, &s7.Error{Function: s7.FuncRead, Refused: s7.ErrNotPerformed}, 5)
	}},
	{"access_denied", "0x8104", func(f *facts) {
		f.fails(device.FaultRefusal, &s7.Error{Function: s7.FuncRead, Refused: s7.ErrServiceUnknown}, 5)
		f.quality(tag.BadUserAccessDenied)
	}},
	{"group_refused", "exception 2", func(f *facts) {
		f.fails(device.FaultRefusal, &modbus.Error{Function: modbus.FuncReadHolding, Exception: modbus.IllegalDataAddress}, 5)
		f.quality(tag.BadNodeIDUnknown)
	}},
	{"address_missing", "press1/t1", func(f *facts) {
		f.fails(device.FaultRefusal, &modbus.Error{Function: modbus.FuncReadHolding, Exception: modbus.IllegalDataAddress}, 5)
		f.Tags[1].Quality = tag.BadNodeIDUnknown
	}},
	{"address_missing", "DB7 bytes 100-103", func(f *facts) {
		f.Device.Protocol, f.Device.Limits.Holes = "s7", []device.Span{{Area: uint8(s7.AreaDB), From: 7<<16 | 100, To: 7<<16 | 103}}
		f.Tags[1].Quality = tag.BadOutOfRange
	}},
	{"type_mismatch", "press1/t1", func(f *facts) { f.Tags[1].Quality = tag.BadTypeMismatch }},
	{"device_failure", "exception 4", func(f *facts) {
		f.fails(device.FaultRefusal, &modbus.Error{Function: modbus.FuncReadHolding, Exception: modbus.ServerDeviceFailure}, 5)
		f.quality(tag.BadDeviceFailure)
	}},
	{"partial", "6 requests without an answer", func(f *facts) {
		f.Device.State, f.Device.Reason = device.Degraded, "answers only part of what it is asked"
		f.fails(device.FaultTimeout, os.ErrDeadlineExceeded, 6)
		f.Tags[2].Quality = tag.UncertainLastUsable
	}},
	{"route_switched", "modbus://10.1.1.7:502/1: failed, no answer in time", func(f *facts) {
		f.Device.Route, f.Device.RouteChanges = 1, 1
		f.Device.Routes = []device.RouteStatus{{Addr: f.Device.Endpoint, State: device.RouteFailed, Cause: "no answer in time"}, {Addr: "modbus://10.2.1.7:502/1", Name: "ring", State: device.RouteInUse, Since: before(time.Minute)}}
	}},
	{"degraded", "millrace heal explain slow", func(f *facts) {
		f.Device.State = device.Degraded
		f.Device.Degraded = device.DegradeStatus{Level: device.DegradeSingle, Since: before(20 * time.Second), Why: "healing: rule slow"}
	}},
	{"route_switched", "millrace heal history jitter --all", func(f *facts) {
		f.Device.Route, f.Device.RouteChanges, f.Device.RoutePinned = 1, 1, true
		f.Device.Routes = []device.RouteStatus{{Addr: f.Device.Endpoint, State: device.RouteIdle}, {Addr: "modbus://10.2.1.7:502/1", State: device.RouteInUse, Since: before(time.Minute)}}
		f.Evidence.Happenings = []device.Happening{{At: before(time.Minute), Act: "route", Reason: "stays on modbus://10.2.1.7:502/1: healing: rule jitter"}}
	}},
	{"wrong_protocol", "does not speak Modbus TCP", func(f *facts) {
		f.down(device.FaultOther, fmt.Errorf("modbus: read holding 0+1: %w", &modbus.FrameError{Reason: modbus.FrameProtocolID, Got: 0x5450}))
	}},
	{"wrong_protocol", "does not speak OPC UA", func(f *facts) {
		f.down(device.FaultHandshake, &opcua.DialError{Stage: opcua.StageHello, Status: ua.BadTcpMessageTypeInvalid, Err: io.EOF})
		f.Device.Protocol = "opcua"
	}},
	{"unit_silent", "does not reach unit 7 behind it", func(f *facts) {
		f.down(device.FaultTimeout, &modbus.Error{Function: modbus.FuncReadHolding, Unit: 7, Exception: modbus.GatewayPathUnavailable})
	}},
	{"silent", "17 times", func(f *facts) { // the connection that was given up for it is no cause of its own
		f.down(device.FaultTimeout, os.ErrDeadlineExceeded)
		f.fails(device.FaultOther, fmt.Errorf("connection closed: %w", &modbus.UnansweredError{Requests: 16}), 1)
	}},
	{"hangs_up", "reset (RST) by the other side 17 times", func(f *facts) { f.down(device.FaultHungUp, dialError(syscall.ECONNRESET)) }},
	{"unanswered", "leaves 31 % of the requests unanswered", func(f *facts) {
		f.fails(device.FaultTimeout, os.ErrDeadlineExceeded, 103)
		f.Device.Loss, f.Device.JitterRule = 0.31, true
	}},
	{"jitter", "deviation 90ms", func(f *facts) { // from the first minute on: the quickest answers are not what is usual
		f.Device.RTT, f.Device.Jitter, f.Evidence.RTT.Usual = 200*time.Millisecond, 90*time.Millisecond, 40*time.Millisecond
	}},
	{"slow_device", "usual were 40ms", func(f *facts) { // later, what is usual is known
		f.Device.RTT, f.Device.Jitter, f.Evidence.RTT.Usual = 200*time.Millisecond, 90*time.Millisecond, 40*time.Millisecond
		f.Evidence.RTT.History = []device.RTTEpoch{{Began: before(10 * time.Minute), Median: 40 * time.Millisecond}}
	}},
	{"degraded", "level single for 20s", func(f *facts) {
		f.Device.State = device.Degraded
		f.Device.Degraded = device.DegradeStatus{Level: device.DegradeSingle, Since: before(20 * time.Second), Why: "batches failed"}
	}},
	{"writes_paused", "last 3 requests", func(f *facts) { f.Device.WritesPaused = "writes are paused: the last 3 requests had no answer in 2s" }},
	{"journal", "1812 values had no room", func(f *facts) {
		f.Gateway.Journal, f.Gateway.Since, f.Gateway.Dropped, f.Gateway.Free = "the disk is full", before(time.Minute), 1812, 4096
	}},
	{"sink_behind", "50000 values wait", func(f *facts) {
		f.Gateway.Sinks = []Sink{{ID: "ok"}, {ID: "db", Reason: "connection refused", Since: before(time.Minute), Waiting: 50000, Behind: time.Minute}}
	}},
	{"reload_refused", "line 7", func(f *facts) {
		f.Gateway.Reload, f.Gateway.ReloadAt = "gateway.yaml: line 7: unknown key", before(time.Minute)
	}},
	{"clock_set", "by 1h0m0s", func(f *facts) { f.Gateway.Clock, f.Gateway.ClockBy = before(time.Minute), time.Hour }},
	{"deadband", "read 500ms ago: 7; passed on last: 5", func(f *facts) {
		t := f.ask()
		t.Deadband, t.Told = "3", "5"
	}},
	{"cooling", "17 attempts", func(f *facts) {
		f.down(device.FaultRefused, nil)
		f.Evidence.Faults[0].Last = before(2 * time.Hour) // and what it was is long ago
	}},
}

// An answer to what was asked that cannot be is the device's own doing, whatever else ends connections in the same way.
func TestMalformedAnswersAreTheDevices(t *testing.T) {
	for why, own := range map[string]bool{"length": true, "echo": true, "exception code": true, "unit": false, "transaction": false, "unsolicited": false} {
		f := healthy()
		f.down(device.FaultOther, &modbus.ClosedError{Err: &modbus.ForeignError{Transaction: 9, Unit: 2, Function: 3, Length: 2, Why: why}})
		f.fails(device.FaultForeign, nil, 4)
		x := Explain(f.Facts)[0]
		if x.Cause != "foreign_answers" || strings.Contains(x.Title, "another device") == own || strings.Contains(x.Todo[0], "leave the tag out") != own {
			t.Errorf("%s: %s", why, write(x))
		}
	}
}

// Every cause, injected, is the first finding, is explained by its own numbers, and says what to do.
func TestEveryCauseIsFound(t *testing.T) {
	seen := map[string]bool{}
	for _, in := range injections {
		seen[in.cause] = true
		f := healthy()
		in.make(f)
		got := Explain(f.Facts)
		x := got[0]
		evidence := strings.Join(slices.Concat([]string{x.Title}, x.Evidence, x.Todo), "\n")
		if x.Cause != in.cause || !strings.Contains(evidence, in.names) || x.Title == "" || len(x.Todo) == 0 {
			t.Errorf("%s, %q: first of %d findings is\n%s", in.cause, in.names, len(got), write(x))
		}
	}
	for _, c := range Causes() {
		if !seen[c.ID] {
			t.Errorf("%s: no test injects it", c.ID)
		}
	}
}

func write(x Finding) string {
	return fmt.Sprintf("%s (%s, %s): %s\n\t%s\n\t-> %s", x.Cause, x.Layer, x.Confidence, x.Title, strings.Join(x.Evidence, "\n\t"), strings.Join(x.Todo, "\n\t-> "))
}

// What is no trouble is not explained as one.
func TestNoFalseAlarm(t *testing.T) {
	for what, change := range map[string]func(*facts){
		"a timeout now and then":    func(f *facts) { f.fails(device.FaultTimeout, os.ErrDeadlineExceeded, 1) },
		"one connection that broke": func(f *facts) { f.fails(device.FaultClosed, io.EOF, 1) },
		"an old fault": func(f *facts) {
			f.fails(device.FaultClosed, io.EOF, 9)
			f.Evidence.Faults[0].Last = before(time.Hour)
		},
		"values that never change": func(f *facts) {
			f.Evidence.Moved = device.Movement{Changes: 1, First: before(time.Hour), Last: before(time.Hour)}
		},
		"a slow but steady device": func(f *facts) {
			f.Device.RTT, f.Evidence.RTT.Usual, f.Evidence.TCP.RTT = 200*time.Millisecond, 190*time.Millisecond, 90*time.Millisecond
		},
		"another one that is down":               func(f *facts) { f.all[2].State, f.all[2].DownSince = device.Cooling, before(time.Minute) },
		"a busy machine on which all is in time": func(f *facts) { f.Gateway.CPU = 0.99 },
		"a scheduler that is a little late": func(f *facts) {
			f.Gateway.Overload, f.Gateway.Late = "group fast, of 9000 devices", 20*time.Millisecond
		},
		"a turn that was late":          func(f *facts) { f.Device.Groups[0].Lag, f.Device.Groups[0].Missed = 90*time.Millisecond, 1 },
		"a clock that was set long ago": func(f *facts) { f.Gateway.Clock = before(time.Hour) },
		"answers that were late a while ago": func(f *facts) {
			f.fails(device.FaultLate, nil, 9)
			f.Evidence.Faults[0].Last = before(time.Minute)
		},
		"a sink that is a little behind": func(f *facts) { f.Gateway.Sinks = []Sink{{ID: "db", Waiting: 100, Behind: time.Second}} },
		"an old sample of a connection":  func(f *facts) { f.Evidence.TCP.At, f.Evidence.TCP.Backoff = before(time.Hour), 7 },
	} {
		f := healthy()
		change(f)
		if got := Explain(f.Facts); got[0].Cause != causeWell || len(got) != 1 {
			t.Errorf("%s: %s", what, write(got[0]))
		}
	}
}
