// Command gos7 asks an S7 server, through robinson/gos7, what the test says: a question a line on standard input, an answer a line behind "> ".
// It is a process of its own since gos7 panics on some answers and prints what it sends. Usage: gos7 ADDR TIMEOUT
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/robinson/gos7"
)

func main() {
	log.SetOutput(io.Discard)
	timeout, err := time.ParseDuration(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	h := gos7.NewTCPClientHandler(os.Args[1], 0, 2)
	h.Timeout, h.IdleTimeout = timeout, 0
	if err := h.Connect(); err != nil {
		answer(err.Error())
		return
	}
	defer h.Close()
	answer("connected")
	p := peer{gos7.NewClient(h), h}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		answer(p.ask(words[0], words[1:]))
	}
}

// answer begins a line of its own: gos7 prints without ending its lines.
func answer(s string) { fmt.Printf("\n> %s\n", s) }

type peer struct {
	gos7.Client
	h *gos7.TCPClientHandler
}

var (
	areas = map[string]int{"I": 0x81, "Q": 0x82, "M": 0x83, "DB": 0x84, "C": 0x1C, "T": 0x1D}
	sizes = map[string]int{"BIT": 1, "BYTE": 2, "CHAR": 3, "WORD": 4, "INT": 5, "DWORD": 6, "DINT": 7, "REAL": 8, "COUNTER": 0x1C, "TIMER": 0x1D}
	width = map[string]int{"BIT": 1, "BYTE": 1, "CHAR": 1, "WORD": 2, "INT": 2, "DWORD": 4, "DINT": 4, "REAL": 4, "COUNTER": 2, "TIMER": 2}
	types = map[string]int{"OB": '8', "DB": 'A', "SDB": 'B', "FC": 'C', "SFC": 'D', "FB": 'E', "SFB": 'F'}
)

// failures are what gos7 makes of the codes on the wire.
var failures = map[string]string{
	"CPU : Address out of range": "05", "CPU : Invalid Transport size": "06", "CPU : Data size mismatch": "07", "CPU : Item not available": "0A",
	"CPU : total data exceeds the PDU size": "8500", "CPU : Invalid value supplied": "DC01", "CPU : Function not available": "8104",
	"CPU : Function not authorized for current protection level": "D241", "CPU : Invalid password": "D602",
	"CPU : No password to set or clear": "D605", "CPU : PLC already RUN": "running", "CPU : PLC already STOP": "stopped",
}

func failure(text string) string {
	if code, ok := failures[text]; ok {
		return "!" + code
	}
	return "!(" + text + ")"
}

func done(err error) string {
	if err != nil {
		return failure(err.Error())
	}
	return "ok"
}

func (p peer) ask(what string, words []string) string {
	switch what {
	case "pdu":
		return strconv.Itoa(p.h.PDULength)
	case "read":
		return p.read(words)
	case "write":
		return p.write(words)
	case "vars", "writevars":
		return p.multi(what == "writevars", strings.Split(strings.Join(words, " "), ";"))
	}
	return p.service(what, words)
}

// item reads AREA DB START[.BIT] SIZE COUNT [DATA]. In a write gos7 wants the bit in the address.
func item(words []string, write bool) gos7.S7DataItem {
	at, bit, _ := strings.Cut(words[2], ".")
	m := gos7.S7DataItem{Area: areas[words[0]], DBNumber: number(words[1]), Start: number(at), WordLen: sizes[words[3]], Amount: number(words[4])}
	if m.Bit = number(bit); write && words[3] == "BIT" {
		m.Start = 8*m.Start + m.Bit
	}
	m.Data = make([]byte, m.Amount*width[words[3]])
	if len(words) > 5 {
		m.Data, _ = hex.DecodeString(words[5])
	}
	return m
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func (p peer) read(words []string) string {
	m := item(words, false)
	var err error
	switch {
	case words[3] != "BYTE":
		return "unserved"
	case words[0] == "DB":
		err = p.AGReadDB(m.DBNumber, m.Start, m.Amount, m.Data)
	case words[0] == "M":
		err = p.AGReadMB(m.Start, m.Amount, m.Data)
	case words[0] == "I":
		err = p.AGReadEB(m.Start, m.Amount, m.Data)
	case words[0] == "Q":
		err = p.AGReadAB(m.Start, m.Amount, m.Data)
	default:
		return "unserved"
	}
	if err != nil {
		return failure(err.Error())
	}
	return hex.EncodeToString(m.Data)
}

func (p peer) write(words []string) string {
	m := item(words, true)
	switch {
	case words[3] != "BYTE":
		return "unserved"
	case words[0] == "DB":
		return done(p.AGWriteDB(m.DBNumber, m.Start, m.Amount, m.Data))
	case words[0] == "M":
		return done(p.AGWriteMB(m.Start, m.Amount, m.Data))
	case words[0] == "I":
		return done(p.AGWriteEB(m.Start, m.Amount, m.Data))
	case words[0] == "Q":
		return done(p.AGWriteAB(m.Start, m.Amount, m.Data))
	}
	return "unserved"
}

func (p peer) multi(write bool, vars []string) string {
	var items []gos7.S7DataItem
	for _, v := range vars {
		items = append(items, item(strings.Fields(v), write))
	}
	call := p.AGReadMulti
	if write {
		call = p.AGWriteMulti
	}
	if err := call(items, len(items)); err != nil {
		return failure(err.Error())
	}
	var out []string
	for _, m := range items {
		switch {
		case m.Error != "":
			out = append(out, failure(m.Error))
		case write:
			out = append(out, "ok")
		default:
			out = append(out, hex.EncodeToString(m.Data))
		}
	}
	return strings.Join(out, " ")
}

func (p peer) service(what string, words []string) string {
	switch what {
	case "cpu":
		i, err := p.GetCPUInfo()
		return show(err, strings.Join(texts(i.ModuleTypeName, i.SerialNumber, i.ASName, i.Copyright, i.ModuleName), " | "))
	case "status":
		s, err := p.PLCGetStatus()
		return show(err, strconv.Itoa(s))
	case "protection":
		s, err := p.GetProtection()
		return show(err, strings.Trim(fmt.Sprint(s), "{}"))
	case "info":
		b, err := p.GetAgBlockInfo(types[words[0]], number(words[1]))
		return show(err, fmt.Sprint(b.BlkNumber, b.BlkLang, b.BlkType, b.MC7Size, b.LoadSize, b.LocalData, b.SBBLength, b.Version)+" "+
			strings.Join(texts(b.Author, b.Family, b.Header), " "))
	case "dbget":
		b, err := p.GetAgBlockInfo('A', number(words[0]))
		if err != nil {
			return failure(err.Error())
		}
		data := make([]byte, b.MC7Size)
		return show(p.DBGet(number(words[0]), data, len(data)), hex.EncodeToString(data))
	case "dbfill":
		fill, _ := strconv.ParseUint(words[1], 16, 8)
		return done(p.DBFill(number(words[0]), int(fill)))
	case "clock":
		t, err := p.PGClockWrite()
		return show(err, t.Format("2006-01-02T15:04:05"))
	case "password":
		return done(p.SetSessionPassword(words[0]))
	case "clearpassword":
		return done(p.ClearSessionPassword())
	case "stop":
		return done(p.PLCStop())
	case "hotstart":
		return done(p.PLCHotStart())
	case "coldstart":
		return done(p.PLCColdStart())
	}
	return "unserved"
}

func show(err error, s string) string {
	if err != nil {
		return failure(err.Error())
	}
	return s
}

// texts trims the zeros that gos7 leaves in, and shows what is empty.
func texts(all ...string) []string {
	for i, s := range all {
		if all[i] = strings.TrimSpace(strings.ReplaceAll(s, "\x00", "")); all[i] == "" {
			all[i] = "-"
		}
	}
	return all
}
