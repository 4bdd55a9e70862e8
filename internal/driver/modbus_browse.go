package driver

import (
	"context"
	"fmt"
	"time"

	"millrace/internal/device"
	"millrace/modbus"
)

// modbusObjects are the objects of an identification that the specification names [Modbus 6.21].
var modbusObjects = map[uint8]string{
	modbus.ObjectVendorName: "vendor", modbus.ObjectProductCode: "product code", modbus.ObjectRevision: "revision", modbus.ObjectVendorURL: "vendor url",
	modbus.ObjectProductName: "product name", modbus.ObjectModelName: "model", modbus.ObjectUserApplicationName: "application",
}

// Browse reads the identification of a's unit. Modbus has no list of what can be read.
func (Modbus) Browse(ctx context.Context, a device.Addr, timeout time.Duration) (Survey, error) {
	opts, err := parseModbusOptions(a)
	if err != nil {
		return Survey{}, err
	}
	cfg, err := opts.config(device.Limits{})
	if err != nil {
		return Survey{}, err
	}
	cfg.Timeout, cfg.DialTimeout = timeout, timeout
	c, err := modbus.Dial(ctx, opts.host, cfg)
	if err != nil {
		return Survey{}, err
	}
	id, err := identify(ctx, c, opts.unit)
	err = firstOf(err, c.Close())
	var s Survey
	for _, o := range id.Objects {
		name, ok := modbusObjects[o.ID]
		if !ok {
			name = fmt.Sprintf("object 0x%02X", o.ID)
		}
		s.say(name, printable(o.Value))
	}
	if exceptionOf(err) != 0 {
		s.Refused, err = append(s.Refused, err.Error()), nil
	}
	return s, err
}

// identify asks for all objects, and for fewer of a device that does not know the wider categories.
func identify(ctx context.Context, c *modbus.Client, unit uint8) (id modbus.DeviceID, err error) {
	for _, code := range [...]modbus.DeviceIDCode{modbus.DeviceIDExtended, modbus.DeviceIDRegular, modbus.DeviceIDBasic} {
		if id, err = c.ReadDeviceID(ctx, unit, code, 0); exceptionOf(err) != modbus.IllegalDataValue {
			break
		}
	}
	return id, err
}
