package s7_test

import (
	"fmt"

	"millrace/s7"
)

// A client asks for four bytes of DB 1 and takes the answer off the stream.
func Example() {
	ask := s7.ReadRequest{Items: []s7.Item{s7.Bytes(s7.AreaDB, 1, 20, 4)}}
	frame := s7.EndFrame(ask.AppendTo(s7.BeginFrame(nil), 7), 0)
	fmt.Printf("%x\n", frame)

	answered := []byte{3, 0, 0, 29, 2, 0xF0, 0x80, 0x32, 3, 0, 0, 0, 7, 0, 2, 0, 8, 0, 0, 4, 1, 0xFF, 4, 0, 32, 0x42, 0x28, 0, 0}
	m, n, err := s7.NewStream(s7.StreamConfig{}).Next(answered)
	if err != nil || n < len(answered) || m.Code != s7.TPDUData {
		fmt.Println(err)
		return
	}
	var answer s7.ReadResponse
	if err := answer.Decode(&m.PDU); err != nil {
		fmt.Println(err)
		return
	}
	v, err := s7.TypeReal.Float(answer.Items[0].Data)
	fmt.Println(m.PDU.Ref, m.PDU.Function(), m.PDU.Items(), answer.Items[0].Code, v, err)
	// Output:
	// 0300001f02f080320100000007000e00000401120a100200040001840000a0
	// 7 read var 1 ok 42 <nil>
}
