package process

import (
	"context"
	"errors"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Sweep implements driver.Driver. What an earlier server started ends by itself
// within seconds of that server; Sweep kills what is left of it at once and
// returns when it is gone. That includes instances to be kept: none can be
// attached, so who wants them starts them again, and nothing of the old ones may be
// left beside the new ones. Instances of other living servers are not touched.
func (d *Driver) Sweep(ctx context.Context, _ []string) error {
	found, err := d.records.list()
	var failed []error
	if err := d.records.removeUnfinished(); err != nil {
		failed = append(failed, fault.Wrap(fault.Internal, err, "unfinished records of the process runtime cannot be removed"))
	}
	if err != nil {
		failed = append(failed, fault.Wrap(fault.Internal, err, "records of the process runtime cannot be read"))
	}
	for _, rec := range found {
		if rec.Owner.alive() {
			continue
		}
		d.log.Info("ending what an earlier server left", "instance", rec.ID)
		if err := d.sweepOne(ctx, rec); err != nil {
			failed = append(failed, fmt.Errorf("instance %s of an earlier server: %w", rec.ID, err))
		}
	}
	return errors.Join(failed...)
}

func (d *Driver) sweepOne(ctx context.Context, rec record) error {
	if err := killLeftovers(ctx, rec); err != nil {
		return err
	}
	if err := d.cgroup.remove(rec.Cgroup); err != nil {
		return fault.Wrap(fault.Internal, err, "its cgroup cannot be removed")
	}
	if err := d.records.remove(rec); err != nil {
		return fault.Wrap(fault.Internal, err, "its record cannot be removed")
	}
	return nil
}
