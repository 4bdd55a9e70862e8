module millrace/interop

go 1.26.0

require (
	github.com/aldas/go-modbus-client v0.5.0
	github.com/goburrow/modbus v0.1.0
	github.com/gopcua/opcua v0.9.0
	github.com/robinson/gos7 v0.0.0-20241205073040-7ea1d6fb9d20
	github.com/simonvetter/modbus v1.6.3
	golang.org/x/sys v0.49.0
	millrace v0.0.0
)

require (
	github.com/goburrow/serial v0.1.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/crypto v0.57.0 // indirect
)

replace millrace => ../
