// Package s7 speaks S7comm, the protocol of Siemens S7-200 to S7-1500 PLCs, over ISO on TCP: codec, Client, Server, and a CPU to serve.
// References such as [RFC 1006 6] name the framing's specifications; S7comm itself has none that is public, and what is not written in an RFC
// is as real PLCs do it.
//
// From the outside in: a TPKT holds one TPDU of COTP class 0; data TPDUs hold S7 PDUs, whole or in fragments; a PDU is a header, parameters
// and data. Stream cuts PDUs off a byte stream, DecodePDU looks at a header, and each message decodes itself from a PDU. Lengths that are
// called PDU lengths count from the PDU's first byte, 0x32: TPKT (4 bytes) and COTP (3 bytes) come on top.
//
// Messages append themselves to a buffer and are decoded from bytes that they alias: whoever keeps a decoded message beyond the life of its
// buffer copies it. Slices in a message are reused by its next Decode. Neither direction allocates.
package s7
