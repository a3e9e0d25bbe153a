package resource

import (
	"testing"
	"time"
)

// EP-20: the name of the configuration is there to the end, also of an endpoint that
// never served.
func TestDeletedEndpointNamesItsConfig(t *testing.T) {
	t.Parallel()
	at := time.Unix(1650241569, 0)
	fleet := Fleet{ConfigName: "c", Variants: []FleetVariant{{Name: "v", Count: 1}}}
	for name, before := range map[string]EndpointEvent{"failed": CreateBroke{"why"}, "creating": VariantResolved{}} {
		e, err := NewEndpoint(Meta{Created: at}, fleet, nil).Apply(before, at)
		if err != nil {
			t.Fatal(err)
		}
		e, err = e.Apply(DeleteAsked{Force: true}, at)
		if err != nil || e.Status != EndpointDeleting || e.Pending == nil || e.Pending.ConfigName != "c" || e.Change != nil {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	e, err := NewEndpoint(Meta{Created: at}, fleet, nil).Apply(Deployed{}, at)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = e.Apply(UpdateAsked{Fleet: fleet}, at); err != nil {
		t.Fatal(err)
	}
	if e, err = e.Apply(DeleteAsked{Force: true}, at); err != nil || e.Pending != nil || e.Current.ConfigName != "c" {
		t.Errorf("updating: %+v, %v", e, err)
	}
}
