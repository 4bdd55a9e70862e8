package ua

// Walks read the messages that carry many values one element at a time, into variables of the caller, so that nothing is made of the whole. Each
// starts with the Decoder behind the message's RequestHeader or ResponseHeader:
//
//	var w ua.ReadResponseWalk
//	for w.Start(&d); w.Next(&d, &v); {
//		... v is the result number w.Index()
//	}
//	w.End(&d)
//	err := d.Done()
//
// What was wrong is in the Decoder, after the last Next. A walk does not keep the Decoder, because that would put it on the heap.

// walk counts the elements of an array.
type walk struct{ n, i int }

func (w *walk) start(d *Decoder, minSize int) { *w = walk{n: d.Count(minSize), i: -1} }

// next moves on to the next element, if there is one.
func (w *walk) next(d *Decoder) bool {
	w.i++
	return w.i < w.n && d.bad == 0
}

// Len returns the number of elements.
func (w *walk) Len() int { return w.n }

// Index returns the number of the element that Next has read last, from 0.
func (w *walk) Index() int { return w.i }

// skipDiagnostics reads an array of DiagnosticInfo that nobody asked for.
func (d *Decoder) skipDiagnostics() {
	for range d.Count(1) {
		if d.bad != 0 {
			return
		}
		d.DiagnosticInfo()
	}
}

// ReadResponseWalk reads the results of a ReadResponse.
type ReadResponseWalk struct{ walk }

// Start reads the number of results.
func (w *ReadResponseWalk) Start(d *Decoder) { w.start(d, 1) }

// Next reads the next result into v, all of it.
func (w *ReadResponseWalk) Next(d *Decoder, v *DataValue) bool {
	if !w.next(d) {
		return false
	}
	d.DataValueInto(v)
	return d.bad == 0
}

// End reads what follows the results.
func (w *ReadResponseWalk) End(d *Decoder) { d.skipDiagnostics() }

// ReadRequestWalk reads the nodes of a ReadRequest.
type ReadRequestWalk struct {
	walk
	MaxAge             float64
	TimestampsToReturn TimestampsToReturn
}

// Start reads what stands in front of the nodes, and their number.
func (w *ReadRequestWalk) Start(d *Decoder) {
	w.MaxAge = d.F64()
	w.TimestampsToReturn = TimestampsToReturn(d.I32())
	w.start(d, minReadValueId)
}

// Next reads the next node to read into v, all of it.
func (w *ReadRequestWalk) Next(d *Decoder, v *ReadValueId) bool {
	if !w.next(d) {
		return false
	}
	v.DecodeFrom(d)
	return d.bad == 0
}

// minReadValueId is the least a ReadValueId takes: a NodeId, an attribute, a null string and a QualifiedName.
const minReadValueId = 2 + 4 + 4 + 6

// WriteRequestWalk reads the values of a WriteRequest.
type WriteRequestWalk struct{ walk }

// Start reads the number of values.
func (w *WriteRequestWalk) Start(d *Decoder) { w.start(d, minWriteValue) }

// Next reads the next value to write into v, all of it.
func (w *WriteRequestWalk) Next(d *Decoder, v *WriteValue) bool {
	if !w.next(d) {
		return false
	}
	v.DecodeFrom(d)
	return d.bad == 0
}

// minWriteValue is the least a WriteValue takes: a NodeId, an attribute, a null string and a DataValue.
const minWriteValue = 2 + 4 + 4 + 1

// PublishResponseWalk reads a PublishResponse. Its slices are those of the walk before, so that a walk that is used again allocates nothing.
type PublishResponseWalk struct {
	walk
	SubscriptionId           uint32
	AvailableSequenceNumbers []uint32
	MoreNotifications        bool
	SequenceNumber           uint32
	PublishTime              DateTime
	Results                  []StatusCode // of the acknowledgements; read by End
}

// Start reads what stands in front of the notifications, and their number: 0 in a keep-alive.
func (w *PublishResponseWalk) Start(d *Decoder) {
	w.SubscriptionId = d.U32()
	w.AvailableSequenceNumbers = w.AvailableSequenceNumbers[:0]
	for range d.Count(4) {
		w.AvailableSequenceNumbers = append(w.AvailableSequenceNumbers, d.U32())
	}
	w.MoreNotifications = d.Bool()
	w.SequenceNumber = d.U32()
	w.PublishTime = d.DateTime()
	w.start(d, minExtensionObject)
}

const minExtensionObject = 3

// Next reads the next notification into x. Its Body points into the input.
func (w *PublishResponseWalk) Next(d *Decoder, x *ExtensionObject) bool {
	if !w.next(d) {
		return false
	}
	alias := d.Alias
	d.Alias = true
	*x = d.ExtensionObject()
	d.Alias = alias
	return d.bad == 0
}

// End reads what follows the notifications.
func (w *PublishResponseWalk) End(d *Decoder) {
	w.Results = w.Results[:0]
	for range d.Count(4) {
		w.Results = append(w.Results, d.StatusCode())
	}
	d.skipDiagnostics()
}

// DataChangeWalk reads a DataChangeNotification: the body of one ExtensionObject of a PublishResponse.
type DataChangeWalk struct{ walk }

// IsDataChange reports whether x carries a DataChangeNotification.
func (x *ExtensionObject) IsDataChange() bool { return x.Is((*DataChangeNotification)(nil)) }

// Start reads the number of changes. d stands at the beginning of the body.
func (w *DataChangeWalk) Start(d *Decoder) { w.start(d, minItemNotification) }

// minItemNotification is the least a MonitoredItemNotification takes: a handle and a DataValue.
const minItemNotification = 4 + 1

// Next reads the next change: the item's client handle, and into v all of its value.
func (w *DataChangeWalk) Next(d *Decoder, handle *uint32, v *DataValue) bool {
	if !w.next(d) {
		return false
	}
	*handle = d.U32()
	d.DataValueInto(v)
	return d.bad == 0
}

// End reads what follows the changes.
func (w *DataChangeWalk) End(d *Decoder) { d.skipDiagnostics() }
