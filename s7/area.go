package s7

import "strconv"

// Area is a memory area of a PLC.
type Area uint8

// The areas.
const (
	AreaSystemInfo200 Area = 0x03 // S7-200
	AreaSystemFlag200 Area = 0x05 // S7-200: SM
	AreaAnalogIn200   Area = 0x06 // S7-200: AI
	AreaAnalogOut200  Area = 0x07 // S7-200: AQ
	AreaCounter       Area = 0x1C // C
	AreaTimer         Area = 0x1D // T
	AreaIECCounter200 Area = 0x1E // S7-200
	AreaIECTimer200   Area = 0x1F // S7-200
	AreaPeripheral    Area = 0x80 // P: inputs and outputs past their images
	AreaInputs        Area = 0x81 // I
	AreaOutputs       Area = 0x82 // Q
	AreaMarkers       Area = 0x83 // M
	AreaDB            Area = 0x84 // DB; V of an S7-200 is DB 1
	AreaInstanceDB    Area = 0x85 // DI
	AreaLocal         Area = 0x86 // L
	AreaPreviousLocal Area = 0x87 // V
)

// Known reports whether a is one of the areas above.
func (a Area) Known() bool {
	switch a {
	case AreaSystemInfo200, AreaSystemFlag200, AreaAnalogIn200, AreaAnalogOut200, AreaCounter, AreaTimer, AreaIECCounter200,
		AreaIECTimer200, AreaPeripheral, AreaInputs, AreaOutputs, AreaMarkers, AreaDB, AreaInstanceDB, AreaLocal, AreaPreviousLocal:
		return true
	}
	return false
}

// Numbered reports whether addresses in a are plain numbers, as those of counters and timers, and not bytes and bits.
func (a Area) Numbered() bool {
	return a == AreaCounter || a == AreaTimer || a == AreaIECCounter200 || a == AreaIECTimer200
}

// String returns the letters that a has in addresses, or its number.
func (a Area) String() string {
	switch a {
	case AreaSystemInfo200:
		return "SI"
	case AreaSystemFlag200:
		return "SM"
	case AreaAnalogIn200:
		return "AI"
	case AreaAnalogOut200:
		return "AQ"
	case AreaCounter, AreaIECCounter200:
		return "C"
	case AreaTimer, AreaIECTimer200:
		return "T"
	case AreaPeripheral:
		return "P"
	case AreaInputs:
		return "I"
	case AreaOutputs:
		return "Q"
	case AreaMarkers:
		return "M"
	case AreaDB:
		return "DB"
	case AreaInstanceDB:
		return "DI"
	case AreaLocal:
		return "L"
	case AreaPreviousLocal:
		return "V"
	}
	return "area " + strconv.Itoa(int(a))
}

// TransportSize is the type of the elements that an item asks for.
type TransportSize uint8

// The sizes of a request.
const (
	SizeBit       TransportSize = 0x01
	SizeByte      TransportSize = 0x02
	SizeChar      TransportSize = 0x03
	SizeWord      TransportSize = 0x04
	SizeInt       TransportSize = 0x05
	SizeDWord     TransportSize = 0x06
	SizeDInt      TransportSize = 0x07
	SizeReal      TransportSize = 0x08
	SizeDate      TransportSize = 0x09
	SizeTOD       TransportSize = 0x0A
	SizeTime      TransportSize = 0x0B
	SizeS5Time    TransportSize = 0x0C
	SizeDT        TransportSize = 0x0F
	SizeWChar     TransportSize = 0x13
	SizeCounter   TransportSize = 0x1C // with AreaCounter alone
	SizeTimer     TransportSize = 0x1D // with AreaTimer alone
	SizeIECCount  TransportSize = 0x1E // S7-200
	SizeIECTimer  TransportSize = 0x1F // S7-200
	SizeHSCounter TransportSize = 0x20
	SizeLReal     TransportSize = 0x30
)

// Bytes returns the bytes of one element in an answer, 0 when s is unknown. A bit takes one.
func (s TransportSize) Bytes() int {
	switch s {
	case SizeBit, SizeByte, SizeChar:
		return 1
	case SizeWord, SizeInt, SizeDate, SizeS5Time, SizeWChar, SizeCounter, SizeTimer:
		return 2
	case SizeIECCount:
		return 3
	case SizeDWord, SizeDInt, SizeReal, SizeTOD, SizeTime, SizeHSCounter:
		return 4
	case SizeIECTimer:
		return 5
	case SizeDT, SizeLReal:
		return 8
	}
	return 0
}

// Data returns how the data of such an item are marked in an answer or a write.
func (s TransportSize) Data() DataSize {
	switch s {
	case SizeBit:
		return DataBit
	case SizeByte, SizeWord, SizeDWord:
		return DataByte
	case SizeInt, SizeDInt:
		return DataInt
	case SizeReal:
		return DataReal
	}
	return DataOctet
}

// String names s, or returns its number.
func (s TransportSize) String() string {
	switch s {
	case SizeBit:
		return "BIT"
	case SizeByte:
		return "BYTE"
	case SizeChar:
		return "CHAR"
	case SizeWord:
		return "WORD"
	case SizeInt:
		return "INT"
	case SizeDWord:
		return "DWORD"
	case SizeDInt:
		return "DINT"
	case SizeReal:
		return "REAL"
	case SizeDate:
		return "DATE"
	case SizeTOD:
		return "TOD"
	case SizeTime:
		return "TIME"
	case SizeS5Time:
		return "S5TIME"
	case SizeDT:
		return "DT"
	case SizeWChar:
		return "WCHAR"
	case SizeCounter, SizeIECCount:
		return "COUNTER"
	case SizeTimer, SizeIECTimer:
		return "TIMER"
	case SizeHSCounter:
		return "HSCOUNTER"
	case SizeLReal:
		return "LREAL"
	}
	return "size " + strconv.Itoa(int(s))
}
