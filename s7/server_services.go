package s7

import "context"

// serviceFaces are the faces of a Handler that serve more than memory.
type serviceFaces struct{}

func serviceFacesOf(Handler) serviceFaces { return serviceFaces{} }

// connServices is what services keep of a connection; nil until one needs it.
type connServices struct{}

// serveUserdata serves a Userdata PDU: it appends whole frames to c.out.
func (c *ServerConn) serveUserdata(_ context.Context, p *PDU) { c.refuseUserdata(p, ErrServiceUnknown) }

// serveJob serves a Job that is no Setup, read or write. It appends whole frames to c.out and answers 0, or why it refuses.
func (c *ServerConn) serveJob(context.Context, *PDU) ErrorCode { return ErrServiceUnknown }

// serveAnswer takes an Ack or Ack_Data of the client, which answers a Job of ours. An error ends the connection.
func (c *ServerConn) serveAnswer(context.Context, *PDU) error { return errUnasked }

// endServices is called once when the connection is over.
func (c *ServerConn) endServices() {}
