package router

import (
	"context"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/guarded"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

const worker = "arn:aws:iam::" + account + ":role/worker"

// mayOnly makes the role worker, who may do what has one of the prefixes; no other role
// exists.
func mayOnly(o *Options, prefixes ...string) {
	o.Objects = guarded.New(o.Objects)
	o.As = func(ctx context.Context, arn string) (context.Context, error) {
		if arn != worker {
			return nil, fault.New(fault.Invalid, "there is no role %s", arn)
		}
		return objstore.WithRights(ctx, func(action, on string) error {
			for _, p := range prefixes {
				if strings.HasPrefix(action+" "+on, p) {
					return nil
				}
			}
			return fault.New(fault.Denied, "%s is not authorized to perform: %s on resource: %s", arn, action, on)
		}), nil
	}
}

// A model that is fetched when it is first named is read with the rights of the role.
func TestRoleLimitsTargetModels(t *testing.T) {
	t.Parallel()
	w, _ := multiModelOf(t, 1, &multi{room: 3}, resource.ModelSpec{ExecutionRoleArn: worker}, func(o *Options) {
		mayOnly(o, "s3:GetObject arn:aws:s3:::bucket/models/a.tar.gz")
	})
	w.wantTarget(t, "a.tar.gz", "a(x)")
	_, err := w.target("b.tar.gz")
	if e := wantError(t, err, ValidationError, ""); !strings.Contains(e.Message, "is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::bucket/models/b.tar.gz") {
		t.Error(e.Message)
	}
}

// What an endpoint captures is written with the rights of its model's role.
func TestRoleLimitsCapture(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]int{"": 1, worker: 1, worker + "-none": 0} {
		w := newWorld(t, func(o *Options) { mayOnly(o, "s3:PutObject arn:aws:s3:::bucket/capture/") })
		w.images["model"] = handler(echo)
		m := single("model")
		m.ExecutionRoleArn = arn
		e := endpoint("e", variant("v", 1, w.launch(m)))
		e.Capture = captureAll()
		aside := endpoint("aside", variant("v", 1, w.launch(m)))
		aside.Capture = captureAll()
		aside.Capture.DestinationURI = "s3://bucket/elsewhere/"
		w.publish(e, aside)
		for _, name := range []string{"e", "aside"} {
			if _, err := w.router.Invoke(t.Context(), request(name, "1")); err != nil {
				t.Fatal(err)
			}
		}
		w.router.Close()
		got := map[string]int{}
		for info, err := range w.objects.List(t.Context(), "bucket", "") {
			if err != nil {
				t.Fatal(err)
			}
			folder, _, _ := strings.Cut(info.Key, "/")
			got[folder]++
		}
		if got["capture"] != want || got["elsewhere"] != 0 && arn != "" {
			t.Errorf("role %q: %v", arn, got)
		}
	}
}
