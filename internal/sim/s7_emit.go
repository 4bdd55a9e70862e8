package sim

import (
	"fmt"
	"io"
)

// EmitConfig writes the gateway configuration that reads the simulated devices: live values from DB 2, static ones from the beginning of DB 1,
// of which there are 2,048.
func (m *S7) EmitConfig(w io.Writer, o EmitOptions) error {
	return m.emit(w, o, offer{
		protocol: "s7", waves: S7Waves, statics: s7Ramp / 4,
		wave:   func(k int) string { return fmt.Sprintf("DB2.DBD%d:REAL", 4*k) },
		static: func(k int) string { return fmt.Sprintf("DB1.DBD%d:DWORD", 4*k) },
		url:    func(n int) string { return fmt.Sprintf("s7://%s?slot=%d", m.Addr(n), m.model.slots[0]) },
	})
}
