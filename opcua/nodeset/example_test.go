package nodeset_test

import (
	"fmt"
	"strings"

	"millrace/opcua/nodeset"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// A companion specification is read in the numbering of the server that is to have it.
func ExampleReadXML() {
	const file = `<UANodeSet>
		<NamespaceUris><Uri>urn:boilers</Uri></NamespaceUris>
		<Aliases><Alias Alias="Organizes">i=35</Alias></Aliases>
		<UAVariable NodeId="ns=1;s=level" BrowseName="1:Level" DataType="i=11">
			<References><Reference ReferenceType="Organizes" IsForward="false">i=85</Reference></References>
			<Value><Double>0.5</Double></Value>
		</UAVariable>
	</UANodeSet>`
	base, err := nodeset.NS0()
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := nodeset.ReadXML(strings.NewReader(file), nodeset.Options{
		Namespaces: []string{nodeset.NamespaceUA, "urn:gateway"}, Base: []*nodeset.Set{base},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := set.Nodes[0]
	fmt.Println(set.Namespaces)
	fmt.Println(n.Id, n.BrowseName, n.Value, n.References[0].Target == ua.NumericId(0, ns0.ObjectsFolder))
	// Output:
	// [http://opcfoundation.org/UA/ urn:gateway urn:boilers]
	// ns=2;s=level 2:Level 0.5 true
}
