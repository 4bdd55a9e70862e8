package driver

import (
	"errors"

	"millrace/modbus"
)

// hint adds to err what the user can do about it, when that is known. A device that never answered under the id of a request does not repeat
// ids; later in a connection a wrong id is something else.
func (s *modbusSession) hint(err error) error {
	if err == nil {
		return nil // before there is anything to allocate
	}
	var f *modbus.ForeignError
	if !errors.As(err, &f) || f.Why != "transaction" || s.client == nil || s.client.Stats().Replied > 0 {
		return err
	}
	return &HintError{err, "a device that does not repeat transaction ids needs echo_id: false"}
}
