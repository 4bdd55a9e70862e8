package opcua

import (
	"context"
	"strconv"
	"testing"

	"millrace/opcua/ua"
)

// archive is a memory that has the values 0 to n-1 of each variable, at the times 1 to n.
type archive struct {
	*memory
	n int
}

func (a *archive) ReadHistory(_ context.Context, q *HistoryQuery, values []ua.DataValue) ([]ua.DataValue, []byte, ua.StatusCode) {
	at, _ := strconv.Atoi(string(q.Next))
	for ; at < a.n; at++ {
		when := ua.DateTime(at + 1)
		if when < q.Start || q.End != 0 && when > q.End {
			continue
		}
		if len(values) == q.Max {
			return values, []byte(strconv.Itoa(at)), ua.Good
		}
		values = append(values, ua.DataValue{Value: ua.Int32(int32(at)), SourceTimestamp: when})
	}
	return values, nil, ua.Good
}

func archived(t testing.TB, n int) *desk {
	t.Helper()
	s := bareSpace(t)
	a := &archive{newMemory(2), n}
	node := func(key uint64, level AccessLevel, roles Roles) Node {
		name := "h" + strconv.FormatUint(key, 10)
		return Node{Id: ua.StringId(1, name), Class: ua.NodeClassVariable, BrowseName: named(1, name), AccessLevel: level, Store: a, Key: key, ReadRoles: roles}
	}
	if err := s.Add(ua.NodeId{}, ua.NodeId{}, node(0, AccessCurrentRead|AccessHistoryRead, 0), node(1, AccessCurrentRead, 0), node(2, AccessHistoryRead, RoleAdmin)); err != nil {
		t.Fatal(err)
	}
	zoo(t, s)
	return deskFor(t, s)
}

func historyOf(raw ua.ReadRawModifiedDetails, id ua.NodeId, point []byte) *ua.HistoryReadRequest {
	return &ua.HistoryReadRequest{
		HistoryReadDetails: ua.Wrap(&raw), TimestampsToReturn: ua.TimestampsToReturnSource, NodesToRead: []ua.HistoryReadValueId{{NodeId: id, ContinuationPoint: point}},
	}
}

func TestHistoryReadGoesOnToTheEnd(t *testing.T) {
	k := archived(t, 25)
	k.server.space.limits.HistoryValues = 10
	raw := ua.ReadRawModifiedDetails{StartTime: 3, EndTime: 24}
	var got []ua.DataValue
	var point []byte
	for pages := 1; ; pages++ {
		r, status := ask[ua.HistoryReadResponse](k, k.server.serveHistoryRead, historyOf(raw, ua.StringId(1, "h0"), point))
		if status != ua.Good || r.Results[0].StatusCode != ua.Good {
			t.Fatal(status, r.Results)
		}
		var data ua.HistoryData
		if err := r.Results[0].HistoryData.Decode(&data, ua.Limits{}); err != nil {
			t.Fatal(err)
		}
		got = append(got, data.DataValues...)
		if point = r.Results[0].ContinuationPoint; point == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	for i, v := range got {
		if n, _ := v.Value.Int64(); n != int64(i+2) || v.SourceTimestamp != ua.DateTime(i+3) || v.ServerTimestamp != 0 {
			t.Errorf("%d: %+v", i, v)
		}
	}
	if len(got) != 22 || len(k.call.session.browse.history) != 0 {
		t.Errorf("%d values, %d continuation points left", len(got), len(k.call.session.browse.history))
	}
}

func TestHistoryReadStatus(t *testing.T) {
	k := archived(t, 25)
	span := ua.ReadRawModifiedDetails{StartTime: 1, EndTime: 9}
	h0 := ua.StringId(1, "h0")
	for i, c := range []struct {
		r    *ua.HistoryReadRequest
		want ua.StatusCode
	}{
		{historyOf(span, h0, nil), ua.Good},
		{historyOf(ua.ReadRawModifiedDetails{StartTime: 100, EndTime: 200}, h0, nil), ua.GoodNoData},
		{historyOf(span, ua.StringId(1, "nobody"), nil), ua.BadNodeIdUnknown},
		{historyOf(span, ua.StringId(1, "h1"), nil), ua.BadHistoryOperationUnsupported},
		{historyOf(span, ua.StringId(1, "variable"), nil), ua.BadHistoryOperationUnsupported},
		{historyOf(span, ua.StringId(1, "h2"), nil), ua.BadUserAccessDenied},
		{historyOf(span, h0, []byte("12345678")), ua.BadContinuationPointInvalid},
		{historyOf(ua.ReadRawModifiedDetails{StartTime: 1}, h0, nil), ua.BadInvalidTimestampArgument},
		{historyOf(ua.ReadRawModifiedDetails{StartTime: 1, EndTime: 2, IsReadModified: true}, h0, nil), ua.BadHistoryOperationUnsupported},
		{&ua.HistoryReadRequest{HistoryReadDetails: ua.Wrap(&ua.ReadProcessedDetails{}), NodesToRead: historyOf(span, h0, nil).NodesToRead}, ua.BadHistoryOperationUnsupported},
		{&ua.HistoryReadRequest{HistoryReadDetails: ua.Wrap(&span)}, ua.BadNothingToDo},
		{&ua.HistoryReadRequest{HistoryReadDetails: ua.Wrap(&span), TimestampsToReturn: 3, NodesToRead: historyOf(span, h0, nil).NodesToRead}, ua.BadTimestampsToReturnInvalid},
	} {
		r, status := ask[ua.HistoryReadResponse](k, k.server.serveHistoryRead, c.r)
		if status == ua.Good {
			status = r.Results[0].StatusCode
		}
		if status != c.want {
			t.Errorf("%d: %v, want %v", i, status, c.want)
		}
	}
}

func TestHistoryPointsAreBoundedAndReleased(t *testing.T) {
	k := archived(t, 25)
	k.server.space.limits.ContinuationPoints = 1
	r := historyOf(ua.ReadRawModifiedDetails{StartTime: 1, NumValuesPerNode: 5}, ua.StringId(1, "h0"), nil)
	first, _ := ask[ua.HistoryReadResponse](k, k.server.serveHistoryRead, r)
	second, _ := ask[ua.HistoryReadResponse](k, k.server.serveHistoryRead, r)
	if first.Results[0].StatusCode != ua.Good || second.Results[0].StatusCode != ua.BadNoContinuationPoints {
		t.Errorf("%v, %v", first.Results[0].StatusCode, second.Results[0].StatusCode)
	}
	release := historyOf(ua.ReadRawModifiedDetails{StartTime: 1, NumValuesPerNode: 5}, ua.StringId(1, "h0"), first.Results[0].ContinuationPoint)
	release.ReleaseContinuationPoints = true
	for i, want := range []ua.StatusCode{ua.Good, ua.BadContinuationPointInvalid} {
		x, _ := ask[ua.HistoryReadResponse](k, k.server.serveHistoryRead, release)
		if x.Results[0].StatusCode != want {
			t.Errorf("release %d: %v", i, x.Results[0].StatusCode)
		}
	}
}
