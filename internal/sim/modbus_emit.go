package sim

import (
	"fmt"
	"io"

	"millrace/modbus"
)

// EmitConfig writes the gateway configuration that reads the simulated devices: live values from the waves, static ones from holding
// register 0 on, of which there are 30,000.
func (m *Modbus) EmitConfig(w io.Writer, o EmitOptions) error {
	return m.emit(w, o, offer{
		protocol: "modbus", waves: Waves, statics: firstWave / 2,
		wave:   func(k int) string { return fmt.Sprintf("holding:%d:float32", firstWave+2*k) },
		static: func(k int) string { return fmt.Sprintf("holding:%d:float32", 2*k) },
		url:    func(n int) string { return fmt.Sprintf("%s://%s/1", m.scheme(), m.Addr(n)) },
	})
}

// scheme returns how the gateway's addresses begin.
func (m *Modbus) scheme() string {
	switch {
	case m.cfg.TLS != nil:
		return "modbus+tls"
	case m.cfg.Framing == modbus.FramingRTU:
		return "modbus+rtu"
	}
	return "modbus"
}
