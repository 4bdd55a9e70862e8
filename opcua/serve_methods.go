package opcua

import (
	"context"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// serveMethods has the methods of the Server object answered by the server that is asked [OPC 10000-5 9.1, 9.2].
func (s *Space) serveMethods() error {
	if err := s.SetMethod(stdId(ns0.Server_GetMonitoredItems), methodGetMonitoredItems); err != nil {
		return err
	}
	return s.SetMethod(stdId(ns0.Server_ResendData), methodResendData)
}

// methodGetMonitoredItems answers the server's and the client's handles of a subscription's items.
func methodGetMonitoredItems(_ context.Context, m *MethodCall) ua.StatusCode {
	id, _ := m.Inputs[0].Uint64()
	server, client, status := m.call.server.callGetMonitoredItems(m.call, uint32(id))
	if status == ua.Good {
		m.Outputs = append(m.Outputs, ua.UInt32Array(server), ua.UInt32Array(client))
	}
	return status
}

// methodResendData has a subscription send all its values again.
func methodResendData(_ context.Context, m *MethodCall) ua.StatusCode {
	id, _ := m.Inputs[0].Uint64()
	return m.call.server.callResendData(m.call, uint32(id))
}
