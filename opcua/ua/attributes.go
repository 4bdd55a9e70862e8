package ua

// The ids of attributes [OPC 10000-6 A.1].
const (
	AttributeNodeId uint32 = iota + 1
	AttributeNodeClass
	AttributeBrowseName
	AttributeDisplayName
	AttributeDescription
	AttributeWriteMask
	AttributeUserWriteMask
	AttributeIsAbstract
	AttributeSymmetric
	AttributeInverseName
	AttributeContainsNoLoops
	AttributeEventNotifier
	AttributeValue
	AttributeDataType
	AttributeValueRank
	AttributeArrayDimensions
	AttributeAccessLevel
	AttributeUserAccessLevel
	AttributeMinimumSamplingInterval
	AttributeHistorizing
	AttributeExecutable
	AttributeUserExecutable
	AttributeDataTypeDefinition
	AttributeRolePermissions
	AttributeUserRolePermissions
	AttributeAccessRestrictions
	AttributeAccessLevelEx
)
