package ua

import (
	"reflect"
	"testing"
)

// behind returns a Decoder that stands behind the header of m.
func behind(t testing.TB, m Message, header Message) (Decoder, []byte) {
	t.Helper()
	b := m.AppendTo(nil)
	d := NewDecoder(b, Limits{})
	header.DecodeFrom(&d)
	if d.Err() != nil {
		t.Fatal(d.Err())
	}
	return d, b
}

func TestReadResponseWalkReadsWhatDecodeFromDoes(t *testing.T) {
	var m ReadResponse
	newFiller(5).fill(&m)
	d, _ := behind(t, &m, new(ResponseHeader))
	var w ReadResponseWalk
	var v DataValue
	var got []DataValue
	for w.Start(&d); w.Next(&d, &v); {
		if w.Index() != len(got) {
			t.Fatalf("index %d of result %d", w.Index(), len(got))
		}
		got = append(got, v)
	}
	w.End(&d)
	if err := d.Done(); err != nil || !reflect.DeepEqual(got, m.Results) || w.Len() != len(got) {
		t.Fatalf("%v: %v, want %v", err, got, m.Results)
	}
}

func TestRequestWalksReadWhatDecodeFromDoes(t *testing.T) {
	var r ReadRequest
	newFiller(6).fill(&r)
	d, _ := behind(t, &r, new(RequestHeader))
	var w ReadRequestWalk
	var id ReadValueId
	var ids []ReadValueId
	for w.Start(&d); w.Next(&d, &id); {
		ids = append(ids, id)
	}
	if err := d.Done(); err != nil || !reflect.DeepEqual(ids, r.NodesToRead) || w.MaxAge != r.MaxAge || w.TimestampsToReturn != r.TimestampsToReturn {
		t.Fatalf("%v: %v, want %v", err, ids, r)
	}
	var wr WriteRequest
	newFiller(7).fill(&wr)
	d, _ = behind(t, &wr, new(RequestHeader))
	var ww WriteRequestWalk
	var value WriteValue
	var values []WriteValue
	for ww.Start(&d); ww.Next(&d, &value); {
		values = append(values, value)
	}
	if err := d.Done(); err != nil || !reflect.DeepEqual(values, wr.NodesToWrite) {
		t.Fatalf("%v: %v, want %v", err, values, wr)
	}
}

func TestPublishWalksReadWhatDecodeFromDoes(t *testing.T) {
	var m PublishResponse
	newFiller(8).fill(&m)
	var change DataChangeNotification
	newFiller(9).fill(&change)
	m.NotificationMessage.NotificationData = []ExtensionObject{Wrap(&StatusChangeNotification{Status: BadTimeout}), Wrap(&change)}
	d, _ := behind(t, &m, new(ResponseHeader))
	var w PublishResponseWalk
	var x ExtensionObject
	changes := 0
	for w.Start(&d); w.Next(&d, &x); {
		if x.IsDataChange() != (w.Index() == 1) {
			t.Fatalf("notification %d is of %v", w.Index(), x.TypeId)
		}
		if x.IsDataChange() {
			changes += walkChanges(t, &x, &change)
		}
	}
	w.End(&d)
	n := &m.NotificationMessage
	if err := d.Done(); err != nil || changes != len(change.MonitoredItems) || w.SubscriptionId != m.SubscriptionId || w.SequenceNumber != n.SequenceNumber ||
		w.PublishTime != n.PublishTime || w.MoreNotifications != m.MoreNotifications ||
		!reflect.DeepEqual(w.AvailableSequenceNumbers, m.AvailableSequenceNumbers) || !reflect.DeepEqual(w.Results, m.Results) {
		t.Fatalf("%v: %+v, want %+v", err, w, m)
	}
}

func walkChanges(t *testing.T, x *ExtensionObject, want *DataChangeNotification) int {
	t.Helper()
	d := NewDecoder(x.Body, Limits{})
	var w DataChangeWalk
	var handle uint32
	var v DataValue
	for w.Start(&d); w.Next(&d, &handle, &v); {
		if got := (MonitoredItemNotification{handle, v}); !reflect.DeepEqual(got, want.MonitoredItems[w.Index()]) {
			t.Fatalf("change %d is %v, want %v", w.Index(), got, want.MonitoredItems[w.Index()])
		}
	}
	w.End(&d)
	if err := d.Done(); err != nil {
		t.Fatal(err)
	}
	return w.Len()
}

func TestWalkOfAShortMessageEndsWithAnError(t *testing.T) {
	d, b := behind(t, doubles(10), new(ResponseHeader))
	for n := d.At(); n < len(b); n++ {
		short := NewDecoder(b[d.At():n], Limits{})
		var w ReadResponseWalk
		var v DataValue
		read := 0
		for w.Start(&short); w.Next(&short, &v); {
			read++
		}
		w.End(&short)
		if short.Done() == nil || read > 10 {
			t.Fatalf("%d of %d bytes: %d results and no error", n, len(b), read)
		}
	}
}

func TestWalksAllocateNothing(t *testing.T) {
	_, response := behind(t, doubles(100), new(ResponseHeader))
	change := DataChangeNotification{MonitoredItems: make([]MonitoredItemNotification, 100)}
	for i := range change.MonitoredItems {
		change.MonitoredItems[i] = MonitoredItemNotification{uint32(i), DataValue{Value: Int32(int32(i)), Status: UncertainInitialValue, ServerTimestamp: 5}}
	}
	publish := PublishResponse{
		AvailableSequenceNumbers: []uint32{1, 2}, Results: []StatusCode{Good},
		NotificationMessage: NotificationMessage{NotificationData: []ExtensionObject{Wrap(&change)}},
	}
	second := publish.AppendTo(nil)
	var pw PublishResponseWalk
	n := testing.AllocsPerRun(100, func() {
		var h ResponseHeader
		var v DataValue
		d := NewDecoder(response, Limits{})
		h.DecodeFrom(&d)
		var w ReadResponseWalk
		for w.Start(&d); w.Next(&d, &v); {
		}
		w.End(&d)
		d2 := NewDecoder(second, Limits{})
		h.DecodeFrom(&d2)
		var x ExtensionObject
		for pw.Start(&d2); pw.Next(&d2, &x); {
			body := NewDecoder(x.Body, Limits{})
			var cw DataChangeWalk
			var handle uint32
			for cw.Start(&body); cw.Next(&body, &handle, &v); {
			}
			cw.End(&body)
			if body.Done() != nil || cw.Len() != 100 {
				t.Fatal("wrong walk")
			}
		}
		pw.End(&d2)
		if d.Done() != nil || d2.Done() != nil || w.Len() != 100 {
			t.Fatal("wrong walk")
		}
	})
	if n != 0 {
		t.Fatalf("%v allocs", n)
	}
}
