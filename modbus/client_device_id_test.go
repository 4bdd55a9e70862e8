package modbus

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadDeviceIDInParts(t *testing.T) {
	c := withPeer(t, Config{Timeout: time.Minute}, func(p *peer) {
		for {
			fr, ok := p.next()
			var m ReadDeviceIDRequest
			if !ok || m.Decode(fr.PDU) != 0 {
				return
			}
			r := ReadDeviceIDResponse{Code: m.Code, Conformity: 0x82, More: m.Object < 2, Count: 1,
				Objects: DeviceObjects(nil).Append(m.Object, strings.Repeat("x", int(m.Object)))}
			if r.More {
				r.Next = m.Object + 1
			}
			if !p.reply(Frame{Transaction: fr.Transaction, Unit: fr.Unit, PDU: r.AppendTo(nil)}) {
				return
			}
		}
	})
	id, err := c.ReadDeviceID(t.Context(), 1, DeviceIDBasic, 0)
	if want := []DeviceObject{{0, ""}, {1, "x"}, {2, "xx"}}; err != nil || !slices.Equal(id.Objects, want) || id.Conformity != 0x82 {
		t.Errorf("got %+v, %v", id, err)
	}
}

// Devices whose "more follows" never ends: the same part again, an empty one that points at itself, one back.
func TestReadDeviceIDInCircles(t *testing.T) {
	for name, next := range map[string]func(object uint8, o DeviceObjects) (uint8, DeviceObjects){
		"same":  func(uint8, DeviceObjects) (uint8, DeviceObjects) { return 0, DeviceObjects(nil).Append(0, "v") },
		"empty": func(object uint8, _ DeviceObjects) (uint8, DeviceObjects) { return object, nil },
		"back":  func(object uint8, _ DeviceObjects) (uint8, DeviceObjects) { return 4 - object, nil },
		"on":    func(object uint8, _ DeviceObjects) (uint8, DeviceObjects) { return object + 1, nil },
	} {
		c := withPeer(t, Config{Timeout: time.Minute}, func(p *peer) {
			for {
				fr, ok := p.next()
				var m ReadDeviceIDRequest
				if !ok || m.Decode(fr.PDU) != 0 {
					return
				}
				r := ReadDeviceIDResponse{Code: m.Code, Conformity: 1, More: true}
				r.Next, r.Objects = next(m.Object, nil)
				if len(r.Objects) > 0 {
					r.Count = 1
				}
				if !p.reply(Frame{Transaction: fr.Transaction, Unit: fr.Unit, PDU: r.AppendTo(nil)}) {
					return
				}
			}
		})
		_, err := c.ReadDeviceID(t.Context(), 1, DeviceIDBasic, 0)
		var pe *PDUError
		if !errors.As(err, &pe) || pe.What != "more follows in circles" {
			t.Errorf("%s: %v", name, err)
		}
		if n := c.Stats().Sent; n > 257 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}
