package control

import (
	"context"
	"fmt"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/capacity"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instancetype"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// needOf is what an instance type wants of this host. The API's model has let only
// known types through.
func needOf(name string) capacity.Need {
	t, _ := instancetype.Lookup(name)
	return capacity.NeedOf(t)
}

// lacks says what instances of a type have on AWS and not here, "" for nothing.
func lacks(name string) string {
	if t, _ := instancetype.Lookup(name); t.Accelerators > 0 {
		return fmt.Sprintf("%s has %d %s devices, which this server cannot give its containers; they run without.", name, t.Accelerators, t.Accelerator)
	}
	return ""
}

// jobClaim is what a job's instances ask of this host.
func jobClaim(key resource.Key, r resource.TransformResources) capacity.Claim {
	return capacity.Claim{Who: "transform-job " + key.Region + "/" + key.Name, Instances: r.InstanceCount, Each: needOf(r.InstanceType)}
}

// checkRoom refuses what could never run here, in the real service's words (BT-22,
// CP-50). what is "transform job" or "endpoint".
func (c *Control) checkRoom(claim capacity.Claim, instanceType, what string) error {
	err := c.Capacity.Check(claim)
	if !fault.Is(err, fault.Limit) {
		return err
	}
	return fault.Wrap(fault.Limit, err, "The account-level service limit '%s for %s usage' is %d Instances, with current utilization of 0 Instances and a request delta of %d Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota. (Here the limit is this server's own. %s)",
		instanceType, what, c.Capacity.Most(claim.Each), claim.Instances, fault.TextOf(err))
}

// takeRoom waits until this host has room for the job's instances.
func (x *execution) takeRoom(ctx context.Context) (*capacity.Grant, error) {
	claim := jobClaim(x.job.Key, x.job.Spec.Resources)
	x.waits.live("room", func() string { return x.Capacity.Waiting(claim.Who) })
	defer x.waits.set("room", "")
	return x.Capacity.Acquire(ctx, claim)
}

// serverlessCPUs is what a serverless variant may use of them: AWS gives CPU in
// proportion to memory, one for 1,769 MB in its functions, and does not say it here.
const serverlessCPUs = 1

// variantNeed is what one instance of a variant wants of this host.
func variantNeed(v resource.ProductionVariant) capacity.Need {
	if s := v.Serverless; s != nil {
		return capacity.Need{CPUs: serverlessCPUs, MemoryBytes: int64(s.MemoryMB) << 20}
	}
	return needOf(v.InstanceType)
}

// takeRoom waits until this host has room for one instance. It stays taken for as
// long as the instance lives.
func (s *unitStart) takeRoom(ctx context.Context, v resource.ProductionVariant) (*capacity.Grant, error) {
	return s.Capacity.Acquire(ctx, capacity.Claim{
		Who:       roomOf(s.endpoint, v.Name),
		Instances: 1, Each: variantNeed(v), Lasting: true,
	})
}

// roomOf names a variant among those that wait for room.
func roomOf(e resource.Endpoint, variant string) string {
	return fmt.Sprintf("endpoint %s/%s, variant %s", e.Region, e.Name, variant)
}

// checkFleet refuses a fleet that could never run here (CP-50).
func (c *Control) checkFleet(f resource.Fleet) error {
	for _, v := range f.All() {
		p := configOf(f.Config, v.Name)
		if v.Count == 0 {
			continue
		}
		if err := c.checkRoom(capacity.Claim{Who: "endpoint", Instances: v.Count, Each: variantNeed(p), Lasting: true}, p.InstanceType, "endpoint"); err != nil {
			return err
		}
	}
	return nil
}

// configOf finds a variant's configuration, that of a shadow included.
func configOf(s resource.EndpointConfigSpec, name string) resource.ProductionVariant {
	for _, v := range allVariants(s) {
		if v.Name == name {
			return v
		}
	}
	return resource.ProductionVariant{}
}

// gpuNames are GPUs as a driver is told of them.
func gpuNames(indexes []int) []string {
	var names []string
	for _, i := range indexes {
		names = append(names, strconv.Itoa(i))
	}
	return names
}

// shmOf is the size of /dev/shm: half of the memory, as the kernel's own default is.
func shmOf(memory int64) int64 { return memory / 2 }
