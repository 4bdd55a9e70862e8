module millrace/interop

go 1.26

require millrace v0.0.0

require (
	github.com/aldas/go-modbus-client v0.5.0 // indirect
	github.com/goburrow/modbus v0.1.0 // indirect
	github.com/goburrow/serial v0.1.0 // indirect
	github.com/simonvetter/modbus v1.6.3 // indirect
)

replace millrace => ../
