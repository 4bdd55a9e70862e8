package opcua

import "millrace/opcua/ua"

// stdId returns an id of namespace 0.
func stdId(id uint32) ua.NodeId { return ua.NumericId(0, id) }
