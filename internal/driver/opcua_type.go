package driver

import (
	"strings"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// opcuaKinds has the kind of the values of each built-in type. What has no kind of its own is the text that people write for it; a StatusCode is its number. A
// structure whose definition is not known is its bytes, any other is JSON.
var opcuaKinds = [...]tag.Kind{
	ua.TypeBoolean: tag.Bool, ua.TypeSByte: tag.Int8, ua.TypeByte: tag.Uint8, ua.TypeInt16: tag.Int16, ua.TypeUInt16: tag.Uint16,
	ua.TypeInt32: tag.Int32, ua.TypeUInt32: tag.Uint32, ua.TypeInt64: tag.Int64, ua.TypeUInt64: tag.Uint64,
	ua.TypeFloat: tag.Float32, ua.TypeDouble: tag.Float64, ua.TypeString: tag.String, ua.TypeDateTime: tag.DateTime,
	ua.TypeGuid: tag.String, ua.TypeByteString: tag.ByteString, ua.TypeXmlElement: tag.String, ua.TypeNodeId: tag.String,
	ua.TypeExpandedNodeId: tag.String, ua.TypeStatusCode: tag.Uint32, ua.TypeQualifiedName: tag.String, ua.TypeLocalizedText: tag.String,
	ua.TypeExtensionObject: tag.ByteString, ua.TypeDataValue: tag.String, ua.TypeVariant: tag.String, ua.TypeDiagnosticInfo: tag.String,
}

// opcuaKind returns the kind of the values of a type, Null for TypeNull.
func opcuaKind(t ua.TypeId) tag.Kind {
	if int(t) >= len(opcuaKinds) {
		return tag.Null
	}
	return opcuaKinds[t]
}

// opcuaAliases are names of types besides those of the specification, in small letters: those of our kinds, and those that PLC4X has.
var opcuaAliases = map[string]ua.TypeId{
	"bool": ua.TypeBoolean, "int8": ua.TypeSByte, "uint8": ua.TypeByte, "float32": ua.TypeFloat, "float64": ua.TypeDouble, "bytes": ua.TypeByteString,
	"sint": ua.TypeSByte, "usint": ua.TypeByte, "int": ua.TypeInt16, "uint": ua.TypeUInt16, "dint": ua.TypeInt32, "udint": ua.TypeUInt32,
	"lint": ua.TypeInt64, "ulint": ua.TypeUInt64, "real": ua.TypeFloat, "lreal": ua.TypeDouble,
}

// opcuaTypeNamed returns the type of that name, in any case. What cannot be written has none.
func opcuaTypeNamed(name string) (ua.TypeId, bool) {
	if name == "" || len(name) > len("ExpandedNodeId") {
		return 0, false
	}
	for t := ua.TypeBoolean; t <= ua.TypeLocalizedText; t++ {
		if strings.EqualFold(name, t.String()) {
			return t, true
		}
	}
	t, ok := opcuaAliases[strings.ToLower(name)]
	return t, ok
}

// opcuaAttributes are the attributes that an address may name, by their ids. NodeId is not among them: it is the name of a type, and known to who asks.
var opcuaAttributes = [...]string{
	ua.AttributeNodeClass: "NodeClass", ua.AttributeBrowseName: "BrowseName", ua.AttributeDisplayName: "DisplayName",
	ua.AttributeDescription: "Description", ua.AttributeWriteMask: "WriteMask", ua.AttributeUserWriteMask: "UserWriteMask",
	ua.AttributeIsAbstract: "IsAbstract", ua.AttributeSymmetric: "Symmetric", ua.AttributeInverseName: "InverseName",
	ua.AttributeContainsNoLoops: "ContainsNoLoops", ua.AttributeEventNotifier: "EventNotifier", ua.AttributeValue: "Value",
	ua.AttributeDataType: "DataType", ua.AttributeValueRank: "ValueRank", ua.AttributeArrayDimensions: "ArrayDimensions",
	ua.AttributeAccessLevel: "AccessLevel", ua.AttributeUserAccessLevel: "UserAccessLevel",
	ua.AttributeMinimumSamplingInterval: "MinimumSamplingInterval", ua.AttributeHistorizing: "Historizing",
	ua.AttributeExecutable: "Executable", ua.AttributeUserExecutable: "UserExecutable", ua.AttributeDataTypeDefinition: "DataTypeDefinition",
	ua.AttributeRolePermissions: "RolePermissions", ua.AttributeUserRolePermissions: "UserRolePermissions",
	ua.AttributeAccessRestrictions: "AccessRestrictions", ua.AttributeAccessLevelEx: "AccessLevelEx",
}

// opcuaAttributeNamed returns the attribute of that name, in any case.
func opcuaAttributeNamed(name string) (uint32, bool) {
	for id, n := range opcuaAttributes {
		if n != "" && strings.EqualFold(name, n) {
			return uint32(id), true
		}
	}
	return 0, false
}
