// Package uasc is the OPC UA secure conversation [OPC 10000-6 6.7, 7.1]: the hello messages, chunks, tokens and keys of a secure channel,
// the certificates that it is opened with, and the lists of those that are trusted.
//
// A Channel is one side of one connection. It has no socket, no clock and no goroutine: bytes and the time come in, messages and bytes go out.
package uasc
