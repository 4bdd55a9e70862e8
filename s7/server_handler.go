package s7

import "context"

// Request is what is asked of a Handler. It is valid during the call only.
type Request struct {
	Conn     *ServerConn
	Function Function // 0 is Userdata
	Ref      uint16   // of the PDU, as the client chose it
	Items    int      // of the read or write
	Index    int      // of the item at hand, 0..Items-1
}

// Handler is a PLC's memory, or what stands for it. Its methods answer ReturnOK or why they refuse the item; what they did to dst is ignored then.
// dst and src are valid during the call only. ctx ends when the connection is dropped; a gateway hands it on.
//
// The server has checked what can be checked of the item without the memory: its syntax, its size, that area and size go together (Item.Check), and
// in a write that src has the item's length (Item.CheckWrite). Whether there is such an area and whether the item lies inside it is the Handler's to say.
//
// A connection with cyclic jobs has items read from another goroutine too. Of r.Conn such a call may use what any goroutine may.
//
// A Handler may also be an ItemChecker, and an SZLReader, BlockKeeper, BlockWriter, TimeKeeper, Guard, Controller, BlockReceiver or Limiter.
type Handler interface {
	// ReadItem fills dst, it.Len() bytes of zeros, with one consistent snapshot of the item; a bit is a byte 0 or 1. The answer has room for it.
	ReadItem(ctx context.Context, r *Request, it *Item, dst []byte) ReturnCode
	// WriteItem takes src, it.Len() bytes; a bit is a byte whose lowest bit counts.
	WriteItem(ctx context.Context, r *Request, it *Item, src []byte) ReturnCode
}

// ItemChecker is a Handler that says of an item whether ReadItem would take it, without reading. It is asked about items that the server is about to
// refuse for another reason, so that a DB which is not there answers 0A and the end of an area 05, as PLCs do, before a length that fits nowhere.
// Without it such a request is refused for that other reason.
type ItemChecker interface {
	CheckItem(ctx context.Context, r *Request, it *Item) ReturnCode
}

// handlers are the faces of one Handler.
type handlers struct {
	Handler
	check ItemChecker
	serviceFaces
}

func facesOf(h Handler) *handlers {
	f := &handlers{Handler: h, serviceFaces: serviceFacesOf(h)}
	f.check, _ = h.(ItemChecker)
	return f
}

// Interceptor stands between a connection and its server, to watch or to break things on purpose. Its methods are called from the connection's
// goroutine and may block: in ServerConn.Pause, so that the end of the connection is noticed. The frames are valid during the call only, and
// belong to the Interceptor until then. It sees PDUs, from Setup on; CR and CC are for Open.
type Interceptor interface {
	// Request is called with the frame of each PDU of the client, TPKT and COTP headers included, before anybody serves it; a PDU that came in
	// fragments is put together in one. A code other than 0 becomes the answer, and nobody else sees the request. An error ends the connection; a
	// *HangUpError says how.
	Request(ctx context.Context, c *ServerConn, request []byte) (ErrorCode, error)
	// Answer is called with the frame of each answer in place of sending it: several frames when the answer comes in fragments or a service answers
	// with more than one PDU. What is to be sent it gives to c.Send: answer itself, or anything else, or nothing. An error ends the connection after
	// what was sent; a *HangUpError says how.
	Answer(ctx context.Context, c *ServerConn, request, answer []byte) error
}
