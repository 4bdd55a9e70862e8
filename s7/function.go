package s7

import "strconv"

// Function is the first parameter byte of a Job and its answer.
type Function uint8

// The functions.
const (
	FuncRead            Function = 0x04
	FuncWrite           Function = 0x05
	FuncDownloadRequest Function = 0x1A
	FuncDownloadBlock   Function = 0x1B
	FuncDownloadEnded   Function = 0x1C
	FuncUploadStart     Function = 0x1D
	FuncUpload          Function = 0x1E
	FuncUploadEnd       Function = 0x1F
	FuncPIService       Function = 0x28
	FuncStop            Function = 0x29
	FuncSetup           Function = 0xF0
)

// Known reports whether f is one of the functions that this package speaks.
func (f Function) Known() bool {
	switch f {
	case FuncRead, FuncWrite, FuncDownloadRequest, FuncDownloadBlock, FuncDownloadEnded, FuncUploadStart, FuncUpload, FuncUploadEnd,
		FuncPIService, FuncStop, FuncSetup:
		return true
	}
	return false
}

// String returns what f does in words, or its number.
func (f Function) String() string {
	switch f {
	case 0:
		return "userdata"
	case FuncRead:
		return "read var"
	case FuncWrite:
		return "write var"
	case FuncDownloadRequest:
		return "request download"
	case FuncDownloadBlock:
		return "download block"
	case FuncDownloadEnded:
		return "download ended"
	case FuncUploadStart:
		return "start upload"
	case FuncUpload:
		return "upload"
	case FuncUploadEnd:
		return "end upload"
	case FuncPIService:
		return "pi service"
	case FuncStop:
		return "stop"
	case FuncSetup:
		return "setup communication"
	}
	return "function " + strconv.Itoa(int(f))
}
