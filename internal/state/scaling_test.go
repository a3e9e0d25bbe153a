package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Scalable targets are found by the folded name, by their endpoint and from a name on.
func TestScalableTargets(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	target := func(endpoint, variant string) resource.ScalableTarget {
		key := resource.Key{Region: region, Kind: resource.KindScalableTarget, Name: resource.ScalableName(endpoint, variant)}
		n := 7
		return resource.ScalableTarget{
			Meta: resource.Meta{Key: key, Created: at(1), Modified: at(1)}, Endpoint: endpoint, Variant: variant, Min: 1, Max: 2,
			Suspended:  resource.SuspendedScaling{Out: true},
			Policies:   []resource.ScalingPolicy{{Name: "p", ID: "i", Created: at(2), Metric: resource.InvocationsPerInstance, Target: 0.1, Custom: &resource.CustomMetric{Statistic: "Sum"}, InCooldown: &n}},
			Activities: []resource.ScalingActivity{{ID: "a", From: 1, To: 2, Cause: "c", Start: at(3), Status: resource.ScalingInProgress, Details: "d"}},
		}
	}
	want := target("E", "V")
	for _, one := range []resource.ScalableTarget{want, target("e", "a"), target("e2", "a"), target("e-", "a"), target("d", "z")} {
		update(t, s, func(tx *Tx) error { return tx.CreateScalableTarget(one) })
	}
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.CreateScalableTarget(target("e", "v")) }), fault.Exists)

	var got resource.ScalableTarget
	read := func(tx *Tx) (err error) { got, err = tx.ScalableTarget(target("e", "v").Key); return err }
	view(t, s, read)
	want.Rev, want.Tags = 1, []resource.Tag{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	names := func(some []resource.ScalableTarget) string {
		var all []string
		for _, one := range some {
			all = append(all, one.Endpoint+"/"+one.Variant)
		}
		return strings.Join(all, " ")
	}
	view(t, s, func(tx *Tx) error {
		of, err := tx.ScalableTargetsOf(resource.Key{Region: region, Name: "E"})
		if names(of) != "e/a E/V" {
			t.Errorf("of the endpoint E: %s", names(of))
		}
		return err
	})
	view(t, s, func(tx *Tx) error {
		var some []resource.ScalableTarget
		err := tx.EachScalableTarget(region, resource.ScalableName("E", "V"), func(one resource.ScalableTarget) bool {
			some = append(some, one)
			return len(some) < 2
		})
		if names(some) != "E/V e2/a" {
			t.Errorf("from a name on: %s", names(some))
		}
		return err
	})
	got.Max = 9
	update(t, s, func(tx *Tx) error { return tx.SaveScalableTarget(got) })
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.SaveScalableTarget(got) }), fault.Conflict)
	update(t, s, func(tx *Tx) error { return tx.DeleteScalableTarget(got.Key) })
	wantKind(t, s.View(t.Context(), read), fault.NotFound)
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.DeleteScalableTarget(got.Key) }), fault.NotFound)
}
