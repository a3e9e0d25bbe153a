package state

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// CP-30 to CP-38: what was created is read back, once, until it is deleted.
func suiteModels(t *testing.T, s *Store) {
	want := resource.Model{
		Meta: resource.Meta{Key: modelKey("Iris"), Created: at(1), Modified: at(1), Tags: []resource.Tag{{Key: "a", Value: "b"}}},
		Spec: resource.ModelSpec{
			Container: resource.Container{
				Image: "sagebrush/xgboost:latest", ModelDataURL: "s3://b/m.tar.gz",
				Environment: map[string]string{"K": "v", "é": ""},
			},
			ExecutionRoleArn: "arn:aws:iam::000000000000:role/r", EnableNetworkIsolation: true,
		},
	}
	put := func(tx *Tx) error { return tx.PutModel(want) }
	update(t, s, put)
	wantKind(t, s.Update(t.Context(), put), fault.Exists)

	var got resource.Model
	read := func(tx *Tx) (err error) { got, err = tx.Model(modelKey("Iris")); return err }
	view(t, s, read)
	want.Rev = 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	update(t, s, func(tx *Tx) error { return tx.DeleteModel(modelKey("iris")) })
	wantKind(t, s.View(t.Context(), read), fault.NotFound)
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.DeleteModel(modelKey("Iris")) }), fault.NotFound)
	update(t, s, put) // The name is free again, and its old tags are gone with the old model.

	var models []resource.Model
	view(t, s, func(tx *Tx) (err error) {
		models, _, err = tx.ListModels(Query{Region: region, Limit: 10})
		return err
	})
	if diff := cmp.Diff([]resource.Model{want}, models); diff != "" {
		t.Error(diff)
	}
	if err := s.Update(t.Context(), func(tx *Tx) error { return tx.PutModel(resource.Model{}) }); !fault.Is(err, fault.Internal) {
		t.Errorf("a model without a name: %v", err)
	}
}

// fullJob sets every member, so that one that is not kept shows.
func fullJob(name string) resource.TransformJob {
	j := newJob(name, 5)
	fill(reflect.ValueOf(&j.Spec).Elem())
	fill(reflect.ValueOf(&j.Model).Elem())
	j.Listed, j.Started, j.Ended, j.FailureReason = true, at(7), at(9), "ünwell"
	j.Tags = []resource.Tag{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}}
	return j
}

// fill gives every member that is still zero a value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"k": "v"}))
	case reflect.String:
		v.SetString("text <&> é")
	case reflect.Int:
		v.SetInt(42)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// BT-21: a name is used once, whatever became of the job.
func suiteTransformJobs(t *testing.T, s *Store) {
	want := fullJob("Batch-1")
	create(t, s, want)
	want.Rev = 1
	if diff := cmp.Diff(want, readJob(t, s, "Batch-1")); diff != "" {
		t.Error(diff)
	}
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.CreateTransformJob(want) }), fault.InUse)
	wantKind(t, s.View(t.Context(), func(tx *Tx) error { _, err := tx.TransformJob(jobKey("other")); return err }), fault.NotFound)

	elsewhere := want
	elsewhere.Region = "eu-west-1"
	create(t, s, elsewhere)
	if got := readJob(t, s, "Batch-1"); got.Region != region {
		t.Errorf("read the job of %s", got.Region)
	}
}

func suiteSaveIsCompareAndSwap(t *testing.T, s *Store) {
	create(t, s, fullJob("j"))
	first := readJob(t, s, "j")
	changed, err := first.Apply(resource.StopAsked{}, at(100))
	if err != nil {
		t.Fatal(err)
	}
	changed.Tags = nil
	changed.Created = at(999)
	save := func(tx *Tx) error { return tx.SaveTransformJob(changed) }
	update(t, s, save)

	want := first
	want.Rev, want.Status, want.Modified = 2, resource.JobStopping, at(100)
	if diff := cmp.Diff(want, readJob(t, s, "j")); diff != "" {
		t.Error(diff)
	}
	wantKind(t, s.Update(t.Context(), save), fault.Conflict)
	changed.Name = "missing"
	wantKind(t, s.Update(t.Context(), save), fault.NotFound)
	if diff := cmp.Diff(want, readJob(t, s, "j")); diff != "" {
		t.Error(diff)
	}
}

// CP-8, CP-9: names keep their case but are unique without regard to it.
func suiteNamesFold(t *testing.T, s *Store) {
	create(t, s, newJob("Batch-A", 1))
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.CreateTransformJob(newJob("bATCH-a", 2)) }), fault.InUse)
	if got := readJob(t, s, "BATCH-A"); got.Name != "Batch-A" {
		t.Errorf("Name = %q, want it as it was created", got.Name)
	}
}

func suiteActiveTransformJobs(t *testing.T, s *Store) {
	var want []resource.Key
	all := []resource.TransformJobStatus{
		resource.JobInProgress, resource.JobCompleted, resource.JobFailed, resource.JobStopping, resource.JobStopped,
	}
	for _, place := range []string{"ap-south-1", region} {
		for _, status := range all {
			j := newJob("Job-"+string(status), 1)
			j.Region, j.Status = place, status
			create(t, s, j)
			if !status.Terminal() {
				want = append(want, j.Key.Folded())
			}
		}
	}
	var got []resource.Key
	view(t, s, func(tx *Tx) (err error) { got, err = tx.ActiveTransformJobs(); return err })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// CP-60: tags are kept in their order, apart from the revision.
func suiteTags(t *testing.T, s *Store) {
	create(t, s, newJob("j", 1))
	tags := []resource.Tag{{Key: "z", Value: ""}, {Key: "a", Value: `"quoted" é`}, {Key: "m", Value: "1"}}
	update(t, s, func(tx *Tx) error { return tx.SetTags(jobKey("J"), tags) })
	got := readJob(t, s, "j")
	if !slices.Equal(got.Tags, tags) || got.Rev != 1 || got.Modified != at(1) {
		t.Errorf("got %+v", got.Meta)
	}
	var read []resource.Tag
	view(t, s, func(tx *Tx) (err error) { read, err = tx.Tags(jobKey("j")); return err })
	if !slices.Equal(read, tags) {
		t.Errorf("Tags = %v", read)
	}
	update(t, s, func(tx *Tx) error { return tx.SetTags(jobKey("j"), nil) })
	if got := readJob(t, s, "j"); len(got.Tags) != 0 {
		t.Errorf("Tags = %v after they were removed", got.Tags)
	}
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.SetTags(modelKey("j"), tags) }), fault.NotFound)
}

func suiteTimes(t *testing.T, s *Store) {
	for i, want := range []time.Time{
		time.Unix(1650241569, 123456789).UTC(), time.Unix(-1, 5).UTC(), {},
	} {
		j := newJob(fmt.Sprint("j", i), 0)
		j.Created, j.Modified, j.Started = want, want.Add(1), want
		if want.IsZero() {
			j.Modified = want
		}
		create(t, s, j)
		got := readJob(t, s, j.Name)
		if !got.Created.Equal(j.Created) || !got.Modified.Equal(j.Modified) || !got.Started.Equal(want) {
			t.Errorf("%v came back as %v, %v, %v", want, got.Created, got.Modified, got.Started)
		}
	}
}
