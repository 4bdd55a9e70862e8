// Package opcua is a client and a server of OPC UA over UA-TCP [OPC 10000]. Package ua has its types and their encoding, package uasc its secure channels.
package opcua
