// Package s7_test has other people's programs judge S7.
package s7_test

import (
	"testing"
	"time"

	"millrace/interop/capture"
	"millrace/interop/outside"
	"millrace/s7"
)

// port is what the dissector is told that the frames went to.
const port = s7.Port

// trace gathers frames that the encoders make.
type trace struct {
	capture.Recording
	pdus int
}

type message interface {
	AppendTo(b []byte, ref uint16) []byte
}

// job sends m from the client, answer from the PLC; each is a frame of its own.
func (tr *trace) job(m message)    { tr.pdu(false, m.AppendTo(nil, tr.ref())) }
func (tr *trace) answer(m message) { tr.pdu(true, m.AppendTo(nil, tr.ref())) }

func (tr *trace) ref() uint16 { return uint16(tr.pdus/2 + 1) }

func (tr *trace) pdu(fromPLC bool, pdu []byte) {
	tr.pdus++
	tr.Add(1, fromPLC, s7.EndFrame(append(s7.BeginFrame(nil), pdu...), 0))
}

// service sends a request and an answer with data, which may be none.
func (tr *trace) service(request message, data []byte) {
	b := request.AppendTo(nil, tr.ref())
	p, err := s7.DecodePDU(b)
	var u s7.Userdata
	if err != nil || u.Decode(&p) != nil {
		panic("own request does not decode")
	}
	tr.pdu(false, b)
	r := u.Confirm()
	if len(data) > 0 {
		r = u.Reply()
	}
	r.Seq, r.Data = 1, data
	tr.answer(&r)
}

var (
	now   = time.Date(2024, 2, 29, 12, 34, 56, 789e6, time.UTC)
	block = s7.BlockFile{Type: s7.BlockDB, Number: 1, System: s7.FileActive}
)

func (tr *trace) connection() {
	cr := s7.Connect{Code: s7.TPDUConnectRequest, SrcRef: 1, Size: s7.TPDUSize1024, Calling: []byte{1, 0}, Called: s7.AppendTSAP(nil, s7.ConnectOP, 0, 2)}
	cc := cr.Confirm(6, s7.TPDUSize1024)
	tr.Add(1, false, cr.AppendTo(nil))
	tr.Add(1, true, cc.AppendTo(nil))
	setup := s7.SetupRequest{Setup: s7.Setup{Calling: 8, Called: 8, PDU: 960}}
	granted, code := setup.Grant(480, 3)
	if code != 0 {
		panic(code)
	}
	tr.job(&setup)
	tr.answer(&granted)
}

var sizes = []s7.TransportSize{s7.SizeByte, s7.SizeChar, s7.SizeWord, s7.SizeInt, s7.SizeDWord, s7.SizeDInt, s7.SizeReal, s7.SizeDate, s7.SizeTOD, s7.SizeTime,
	s7.SizeS5Time, s7.SizeDT}

var areas = []s7.Area{s7.AreaSystemInfo200, s7.AreaSystemFlag200, s7.AreaAnalogIn200, s7.AreaAnalogOut200, s7.AreaPeripheral, s7.AreaInputs, s7.AreaOutputs,
	s7.AreaMarkers, s7.AreaDB, s7.AreaInstanceDB, s7.AreaLocal, s7.AreaPreviousLocal}

// variables reads and writes every size, then every area, with odd lengths and failures among them.
func (tr *trace) variables() {
	items := []s7.Item{s7.Bit(s7.AreaMarkers, 0, 10, 3), s7.Counters(5, 2), s7.Timers(7, 1)}
	for _, size := range sizes {
		items = append(items, s7.Item{Syntax: s7.SyntaxAny, Size: size, Count: 3, DB: 1, Area: s7.AreaDB, Address: 80})
	}
	tr.readWrite(items)
	items = items[:0]
	for _, a := range areas {
		items = append(items, s7.Bytes(a, 0, 20, 5))
	}
	tr.readWrite(items)
	refused := s7.AppendRefusal(nil, tr.ref(), s7.ErrFrame)
	tr.job(&s7.ReadRequest{Items: items[:1]})
	tr.pdu(true, refused)
}

func (tr *trace) readWrite(items []s7.Item) {
	read, write := s7.ReadResponse{}, s7.WriteRequest{Items: items}
	var codes []byte
	for i, item := range items {
		d := s7.DataItem{Code: s7.ReturnOK, Size: item.Size.Data(), Data: make([]byte, item.Len())}
		write.Data = append(write.Data, s7.DataItem{Size: d.Size, Data: d.Data})
		codes = append(codes, byte(s7.ReturnOK))
		if i%5 == 4 {
			d = s7.DataItem{Code: s7.ReturnNoObject}
		}
		read.Items = append(read.Items, d)
	}
	tr.job(&s7.ReadRequest{Items: items})
	tr.answer(&read)
	tr.job(&write)
	tr.answer(&s7.WriteResponse{Codes: codes})
}

func (tr *trace) lists() {
	list := func(id, index, n uint16, records []byte) {
		szl := s7.SZL{ID: id, Index: index, RecordLen: n, Records: records}
		tr.service(&s7.SZLRequest{ID: id, Index: index}, szl.AppendTo(nil))
	}
	list(s7.SZLDirectory, 0, 2, []byte{0, 0, 0, 0x11, 0, 0x1C, 1, 0x31, 2, 0x32, 4, 0x24})
	var modules, names []byte
	for _, i := range []uint16{s7.ModuleOrder, s7.ModuleHardware, s7.ModuleFirmware} {
		m := s7.ModuleRecord{Index: i, Order: []byte("6ES7 315-2EH14-0AB0"), Version: [4]byte{'V', 3, 2, 6}}
		modules = m.AppendTo(modules)
	}
	list(s7.SZLModule, 0, s7.ModuleRecordBytes, modules)
	for i := range uint16(7) {
		m := s7.ComponentRecord{Index: i + 1, Text: []byte("name")}
		names = m.AppendTo(names)
	}
	list(s7.SZLComponents, 0, s7.ComponentRecordBytes, names)
	comm := s7.CommRecord{Index: 1, PDU: 480, Connections: 16, MPIRate: 187500, BusRate: 187500}
	list(s7.SZLComm, 1, s7.CommRecordBytes, comm.AppendTo(nil))
	protection := s7.ProtectionRecord{Index: 4, Level: 1, Effective: 1, Selector: s7.SelectorRunP}
	list(s7.SZLProtection, 4, s7.ProtectionRecordBytes, protection.AppendTo(nil))
	mode := s7.ModeRecord{Mode: s7.ModeRun, At: now}
	list(s7.SZLMode, 0, s7.ModeRecordBytes, mode.AppendTo(nil))
}

func (tr *trace) services() {
	tr.service(s7.BlockCountsRequest{}, s7.AppendBlockCounts(nil, s7.BlockCount{Type: s7.BlockOB, Count: 1}, s7.BlockCount{Type: s7.BlockDB, Count: 3}))
	tr.service(&s7.BlockListRequest{Type: s7.BlockDB}, s7.AppendBlockList(nil, s7.BlockEntry{Number: 1, Flags: 0x22, Language: s7.LanguageDB}))
	info := s7.BlockInfo{Flags: 1, Language: s7.LanguageDB, Subtype: s7.BlockDB.Subtype(), Number: 1, LoadLen: 102, Code: now, Interface: now, MC7Len: 10, Version: 0x10}
	tr.service(&s7.BlockInfoRequest{File: block}, info.AppendTo(nil))
	clock := s7.Clock{Time: now}
	tr.service(s7.ReadClockRequest{}, clock.AppendTo(nil))
	tr.service(&s7.SetClockRequest{Clock: clock}, nil)
	password := s7.NewPasswordRequest("secret")
	tr.service(&password, nil)
	tr.service(s7.ClearPasswordRequest{}, nil)
	subscribe := s7.SubscribeRequest{Base: s7.TimeBase1s, Factor: 5, Items: []s7.Item{s7.Bytes(s7.AreaDB, 1, 0, 3), s7.Bit(s7.AreaMarkers, 0, 1, 1)}}
	data := s7.CyclicData{Items: []s7.DataItem{{Code: s7.ReturnOK, Size: s7.DataByte, Data: []byte{1, 2, 3}}, {Code: s7.ReturnOK, Size: s7.DataBit, Data: []byte{1}}}}
	tr.service(&subscribe, data.AppendTo(nil))
	push := s7.Userdata{Group: s7.GroupCyclic, Sub: s7.SubCyclicSubscribe, Seq: 1, Long: true, Code: s7.ReturnOK, Size: s7.DataOctet, Data: data.AppendTo(nil)}
	tr.answer(&push)
	pieces := s7.SubscribeRequest{Base: s7.TimeBase1s, Factor: 5, Items: []s7.Item{s7.DBRead(s7.AppendDBPieces(nil, s7.DBPiece{Len: 4, DB: 1}, s7.DBPiece{Len: 2, DB: 2, Start: 8}))}}
	tr.job(&pieces)
	no := s7.Userdata{Type: s7.UserdataRequest, Group: s7.GroupCyclic, Sub: s7.SubCyclicSubscribe}
	no = no.Refuse(s7.ErrCyclicFull)
	tr.answer(&no)
	tr.service(&s7.UnsubscribeRequest{Function: s7.SubCyclicSubscribe, Job: 1}, nil)
	first, last := s7.BSendPart{First: true, RID: 7, Total: 5, Data: []byte{1, 2, 3}}, s7.BSendPart{RID: 7, Data: []byte{4, 5}}
	tr.pdu(false, first.AppendTo(nil, tr.ref(), 1, true))
	tr.pdu(false, last.AppendTo(nil, tr.ref(), 2, false))
}

func (tr *trace) programs() {
	pi := func(name, param string) {
		tr.job(&s7.PIServiceRequest{Service: []byte(name), Param: []byte(param)})
		tr.answer(&s7.Done{Function: s7.FuncPIService})
	}
	pi(s7.PIProgram, "")
	pi(s7.PIProgram, s7.PIColdStart)
	pi(s7.PICopyROM, s7.PIToEPROM)
	pi(s7.PICompress, "")
	pi(s7.PIInsert, string(s7.AppendPIBlocks(nil, block)))
	pi(s7.PIDelete, string(s7.AppendPIBlocks(nil, block)))
	tr.job(&s7.StopRequest{Service: []byte(s7.PIProgram)})
	tr.pdu(true, s7.AppendRefusalOf(nil, tr.ref(), s7.FuncStop, s7.ErrNotPerformed, s7.DetailStopped))
}

func (tr *trace) blocks() {
	tr.job(&s7.UploadStartRequest{File: block})
	tr.answer(&s7.UploadStartResponse{ID: 7, Length: 190})
	tr.job(&s7.UploadRequest{ID: 7})
	tr.answer(&s7.Slice{Function: s7.FuncUpload, More: true, Data: make([]byte, 100)})
	tr.job(&s7.UploadRequest{ID: 7})
	tr.answer(&s7.Slice{Function: s7.FuncUpload, Data: make([]byte, 91)})
	tr.job(&s7.UploadEndRequest{ID: 7})
	tr.answer(&s7.Done{Function: s7.FuncUploadEnd})
	tr.job(&s7.DownloadRequest{File: block, LoadLen: 102, CodeLen: 10})
	tr.answer(&s7.Done{Function: s7.FuncDownloadRequest})
	tr.answer(&s7.DownloadBlockRequest{File: block})
	tr.job(&s7.Slice{Function: s7.FuncDownloadBlock, Data: make([]byte, 102)})
	tr.answer(&s7.DownloadEndedRequest{File: block})
	tr.job(&s7.Done{Function: s7.FuncDownloadEnded})
}

// TestDissector has Wireshark read what every encoder makes: all of it is s7comm, nothing is malformed.
func TestDissector(t *testing.T) {
	outside.NeedTool(t, "tshark")
	all := 0
	for _, x := range []struct {
		name string
		send func(*trace)
	}{
		{"connection", (*trace).connection}, {"variables", (*trace).variables}, {"lists", (*trace).lists}, {"services", (*trace).services},
		{"programs", (*trace).programs}, {"blocks", (*trace).blocks},
	} {
		t.Run(x.name, func(t *testing.T) {
			var tr trace
			x.send(&tr)
			n := tr.Dissect(t, port, "tpkt", "s7comm.header.rosctr")
			if n == 0 || n != tr.pdus {
				t.Errorf("%d frames of %d are s7comm", n, tr.pdus)
			}
			all += n
		})
	}
	t.Logf("%d frames dissected", all)
}
