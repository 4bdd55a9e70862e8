package driver

// Modbus reads and writes Modbus devices over TCP, TLS, and RTU over TCP. It holds no state.
type Modbus struct{}
