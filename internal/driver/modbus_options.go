package driver

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/modbus"
)

// The schemes of Modbus addresses.
const (
	schemeTCP = "modbus"
	schemeTLS = "modbus+tls"
	schemeRTU = "modbus+rtu"
)

// modbusOptions is what a device's address and options say.
type modbusOptions struct {
	host         string // host:port
	unit         uint8
	rtu          bool
	tls          bool
	window       int // 0 is learned
	maxWindow    int
	maxRegisters int
	maxBits      int
	maxWrite     int
	gap          int
	noEcho       bool
	dialTimeout  time.Duration
	cert         string
	key          string
	ca           string
	serverName   string
	heartbeat    time.Duration // 0 never
	beat         modbus.Call
}

// OptionError is a wrong option of a device.
type OptionError struct {
	Option string
	Value  string
	What   string
}

func (e *OptionError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("option %s: %s", e.Option, e.What)
	}
	return fmt.Sprintf("option %s: %q: %s", e.Option, e.Value, e.What)
}

// modbusOptionTable has each option with how it is read.
var modbusOptionTable = map[string]func(o *modbusOptions, v string) error{
	"window":        windowOption,
	"max_window":    func(o *modbusOptions, v string) error { return intOption(&o.maxWindow, v, 1, maxWindow) },
	"max_registers": func(o *modbusOptions, v string) error { return intOption(&o.maxRegisters, v, 1, maxReadRegisters) },
	"max_bits":      func(o *modbusOptions, v string) error { return intOption(&o.maxBits, v, 1, maxReadBits) },
	"max_write":     func(o *modbusOptions, v string) error { return intOption(&o.maxWrite, v, 1, maxWriteRegisters) },
	"gap":           func(o *modbusOptions, v string) error { return noneOption(&o.gap, v, maxReadBits) },
	"echo_id":       echoOption,
	"dial_timeout":  func(o *modbusOptions, v string) error { return durationOption(&o.dialTimeout, v) },
	"heartbeat":     heartbeatOption,
	"heartbeat_read": func(o *modbusOptions, v string) (err error) {
		o.beat, err = beatOption(v)
		return err
	},
	"cert":        func(o *modbusOptions, v string) error { o.cert = v; return nil },
	"key":         func(o *modbusOptions, v string) error { o.key = v; return nil },
	"ca":          func(o *modbusOptions, v string) error { o.ca = v; return nil },
	"server_name": func(o *modbusOptions, v string) error { o.serverName = v; return nil },
}

// tlsOptions are the options that mean something with modbus+tls only.
var tlsOptions = []string{"ca", "cert", "key", "server_name"}

func intOption(p *int, v string, least, most int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return fmt.Errorf("not a number from %d to %d", least, most)
	}
	*p = n
	return nil
}

// maxWindow is the most requests in flight that a device may be given: what the messaging guide lets a server allow.
const maxWindow = 16

func windowOption(o *modbusOptions, v string) error {
	if v == "auto" {
		return nil
	}
	if intOption(&o.window, v, 1, maxWindow) != nil {
		return fmt.Errorf("neither auto nor a number from 1 to %d", maxWindow)
	}
	return nil
}

func echoOption(o *modbusOptions, v string) error {
	echo := true
	if err := boolOption(&echo, v); err != nil {
		return err
	}
	o.noEcho = !echo
	return nil
}

func durationOption(p *time.Duration, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return fmt.Errorf("not a duration such as 2s")
	}
	*p = d
	return nil
}

// minHeartbeat keeps a heartbeat from becoming a poll.
const minHeartbeat = time.Second

func heartbeatOption(o *modbusOptions, v string) error {
	if err := durationOption(&o.heartbeat, v); err != nil {
		return err
	}
	if o.heartbeat < minHeartbeat {
		return fmt.Errorf("shorter than %v", minHeartbeat)
	}
	return nil
}

// beatOption reads the question of a heartbeat: a legal request, since an empty one is not.
func beatOption(v string) (modbus.Call, error) {
	if v == "device_id" {
		return modbus.Call{Function: modbus.FuncReadDeviceID, Quantity: uint16(modbus.DeviceIDBasic)}, nil
	}
	p, err := parseModbus(v)
	if err != nil {
		return modbus.Call{}, err
	}
	c := modbus.Call{Function: readFunction(p.area), Address: uint16(p.addr), Quantity: 1}
	if p.unit != noUnit {
		c.Unit = uint8(p.unit)
	}
	return c, nil
}

// parseModbusOptions reads and checks all of a.
func parseModbusOptions(a device.Addr) (modbusOptions, error) {
	port, ok := Modbus{}.Ports()[a.Scheme]
	if !ok {
		return modbusOptions{}, &OptionError{"address", a.String(), "the scheme is not modbus, modbus+tls or modbus+rtu"}
	}
	o := modbusOptions{host: withPort(a.Host, strconv.Itoa(port)), unit: 1, rtu: a.Scheme == schemeRTU, tls: a.Scheme == schemeTLS}
	if a.Host == "" {
		return o, &OptionError{"address", a.String(), "there is no host"}
	}
	if a.Path != "" {
		n, err := strconv.ParseUint(a.Path, 10, 8)
		if err != nil {
			return o, &OptionError{"address", a.String(), "what stands behind the host is the unit id, from 0 to 255"}
		}
		o.unit = uint8(n)
	}
	return o, o.parse(a.Options)
}

func (o *modbusOptions) parse(options map[string]string) error {
	names := make([]string, 0, len(options))
	for name := range options {
		names = append(names, name)
	}
	slices.Sort(names) // the first error is the same each time
	for _, name := range names {
		set, ok := modbusOptionTable[name]
		if !ok {
			return &OptionError{Option: name, What: "there is no such option" + suggestOption(name, modbusOptionTable)}
		}
		if !o.tls && slices.Contains(tlsOptions, name) {
			return &OptionError{Option: name, What: "it needs an address that begins with modbus+tls://"}
		}
		if err := set(o, options[name]); err != nil {
			return &OptionError{name, options[name], err.Error()}
		}
	}
	if (o.cert == "") != (o.key == "") {
		return &OptionError{Option: "cert", What: "cert and key belong together"}
	}
	for _, w := range [...]struct {
		name string
		n    int
	}{{"window", o.window}, {"max_window", o.maxWindow}} {
		if o.rtu && w.n > 1 {
			return &OptionError{w.name, strconv.Itoa(w.n), "RTU has no transaction id: one request at a time"}
		}
	}
	if o.beat.Function != 0 && o.heartbeat == 0 {
		return &OptionError{Option: "heartbeat_read", What: "it has no effect without heartbeat"}
	}
	if o.beat.Function == 0 {
		o.beat = modbus.Call{Function: modbus.FuncReadHolding, Quantity: 1}
	}
	if o.beat.Unit == 0 {
		o.beat.Unit = o.unit
	}
	if o.window > 0 && o.maxWindow > 0 {
		return &OptionError{"max_window", strconv.Itoa(o.maxWindow), "it has no effect beside a fixed window"}
	}
	return nil
}

// suggestOption says what name may have been meant to be, of the options of a table.
func suggestOption[F any](name string, table map[string]F) string {
	names := slices.Sorted(maps.Keys(table))
	if m := didYouMean(name, names); m != "" {
		return "; did you mean " + m + "?"
	}
	return "; the options are " + strings.Join(names, ", ")
}

// withPort adds the port when host has none.
func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return net.JoinHostPort(host, port)
}

// limit returns lim held to what the options say: caps only ever shrink, and an explicit window or gap wins.
// The window is that of now: a learned one may grow to mostInFlight.
func (o *modbusOptions) limit(lim device.Limits) device.Limits {
	lim.MaxRegisters = lesser(lim.MaxRegisters, o.maxRegisters)
	lim.MaxBits = lesser(lim.MaxBits, o.maxBits)
	lim.MaxWrite = lesser(lim.MaxWrite, o.maxWrite)
	lim.Gap = cmp.Or(o.gap, lim.Gap)
	lim.Window = min(cmp.Or(o.window, lim.Window, 1), o.mostInFlight())
	return lim
}

// mostInFlight returns the largest window that the device may get.
func (o *modbusOptions) mostInFlight() int {
	if o.rtu || o.noEcho {
		return 1
	}
	return cmp.Or(o.window, o.maxWindow, learnedWindow)
}

// lesser returns the smaller of two limits of which 0 is none.
func lesser(a, b int) int {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// tlsConfig loads the files. It returns nil without TLS.
func (o *modbusOptions) tlsConfig() (*tls.Config, error) {
	if !o.tls {
		return nil, nil
	}
	c := &tls.Config{ServerName: o.serverName, MinVersion: tls.VersionTLS12}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(o.host)
		if err != nil {
			return nil, err
		}
		c.ServerName = host
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, &OptionError{"cert", o.cert, err.Error()}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, &OptionError{"ca", o.ca, err.Error()}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &OptionError{"ca", o.ca, "there is no PEM certificate in it"}
		}
	}
	return c, nil
}
