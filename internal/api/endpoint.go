package api

import (
	"context"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

func (s *Server) createEndpoint(ctx context.Context, region string, in *wire.CreateEndpointInput) (wire.Message, error) {
	arn, err := s.Control.CreateEndpoint(ctx, key(region, in.EndpointName), value(in.EndpointConfigName), deploymentOf(in.DeploymentConfig), tagsOf(in.Tags))
	return &wire.CreateEndpointOutput{EndpointArn: &arn}, err
}

func (s *Server) updateEndpoint(ctx context.Context, region string, in *wire.UpdateEndpointInput) (wire.Message, error) {
	u := control.Update{
		ConfigName: value(in.EndpointConfigName), RetainAll: value(in.RetainAllVariantProperties),
		Deployment: deploymentOf(in.DeploymentConfig), RetainDeployment: value(in.RetainDeploymentConfig),
	}
	for _, p := range in.ExcludeRetainedVariantProperties {
		switch value(p.VariantPropertyType) {
		case "DesiredInstanceCount":
			u.ExcludeCount = true
		case "DesiredWeight":
			u.ExcludeWeight = true
		default: // EP-41
			return nil, wire.Errorf(wire.ValidationException, "ExcludeRetainedVariantProperties: %s is not supported.", value(p.VariantPropertyType))
		}
	}
	arn, err := s.Control.UpdateEndpoint(ctx, key(region, in.EndpointName), u)
	return &wire.UpdateEndpointOutput{EndpointArn: &arn}, err
}

func (s *Server) updateEndpointWeightsAndCapacities(ctx context.Context, region string, in *wire.UpdateEndpointWeightsAndCapacitiesInput) (wire.Message, error) {
	var r refusals
	var wanted []control.WeightAndCapacity
	for i, d := range in.DesiredWeightsAndCapacities {
		r.add(d.ServerlessUpdateConfig != nil, fmt.Sprintf("DesiredWeightsAndCapacities[%d].ServerlessUpdateConfig", i))
		w := control.WeightAndCapacity{Variant: value(d.VariantName), Count: integer(d.DesiredInstanceCount)}
		if d.DesiredWeight != nil {
			w.Weight = ref(float64(*d.DesiredWeight))
		}
		wanted = append(wanted, w)
	}
	if err := r.err("UpdateEndpointWeightsAndCapacities"); err != nil {
		return nil, err
	}
	arn, err := s.Control.UpdateEndpointWeightsAndCapacities(ctx, key(region, in.EndpointName), wanted)
	return &wire.UpdateEndpointWeightsAndCapacitiesOutput{EndpointArn: &arn}, err
}

func (s *Server) deleteEndpoint(ctx context.Context, region string, in *wire.DeleteEndpointInput) (wire.Message, error) {
	return nil, s.Control.DeleteEndpoint(ctx, key(region, in.EndpointName), false)
}

func (s *Server) listEndpoints(ctx context.Context, region string, in *wire.ListEndpointsInput) (wire.Message, error) {
	endpoints, next, err := s.Control.ListEndpoints(ctx, control.List{
		Region: region, NameContains: value(in.NameContains), Status: value(in.StatusEquals),
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		ModifiedAfter: in.LastModifiedTimeAfter, ModifiedBefore: in.LastModifiedTimeBefore,
		SortBy: value(in.SortBy), Ascending: value(in.SortOrder) == "Ascending",
		MaxResults: int(value(in.MaxResults)), NextToken: value(in.NextToken),
	}, in.SortOrder != nil)
	out := &wire.ListEndpointsOutput{Endpoints: []wire.EndpointSummary{}, NextToken: optional(next)}
	for _, e := range endpoints {
		out.Endpoints = append(out.Endpoints, wire.EndpointSummary{
			EndpointName: &e.Name, EndpointArn: ref(s.Control.ARN(e.Key)), CreationTime: &e.Created,
			LastModifiedTime: &e.Modified, EndpointStatus: &e.Status,
		})
	}
	return out, err
}

func (s *Server) describeEndpoint(ctx context.Context, region string, in *wire.DescribeEndpointInput) (wire.Message, error) {
	e, ready, err := s.Control.DescribeEndpoint(ctx, key(region, in.EndpointName))
	if err != nil {
		return nil, err
	}
	d := description{e: e, ready: ready}
	return d.output(s.Control.ARN(e.Key)), nil
}

// description converts an endpoint to what DescribeEndpoint answers.
type description struct {
	e     resource.Endpoint
	ready func(generation int, variant string) int
}

func (d description) output(arn string) *wire.DescribeEndpointOutput {
	e := d.e
	out := &wire.DescribeEndpointOutput{
		EndpointName: &e.Name, EndpointArn: &arn, EndpointStatus: ref(string(e.Status)),
		FailureReason: optional(e.FailureReason), CreationTime: &e.Created, LastModifiedTime: &e.Modified,
		LastDeploymentConfig: wireDeployment(e.LastDeployment),
	}
	shown := e.Current
	if shown == nil {
		shown = e.Pending // EP-20: the name of the configuration is always there
	}
	if shown != nil {
		out.EndpointConfigName = &shown.ConfigName
		out.AsyncInferenceConfig = wireAsync(shown.Config.Async)
		out.DataCaptureConfig = captureSummary(shown.Config.Capture)
	}
	if f := e.Current; f != nil {
		out.ProductionVariants = d.variants(f, f.Variants)
		out.ShadowProductionVariants = d.variants(f, f.Shadows)
	}
	if f := e.Pending; f != nil && e.Change != nil { // EP-24
		out.PendingDeploymentSummary = &wire.PendingDeploymentSummary{
			EndpointConfigName: &f.ConfigName, StartTime: moment(f.Started),
			ProductionVariants: d.pending(f, f.Variants), ShadowProductionVariants: d.pending(f, f.Shadows),
		}
	}
	return out
}

// variants are those that serve (EP-21).
func (d description) variants(f *resource.Fleet, all []resource.FleetVariant) []wire.ProductionVariantSummary {
	var out []wire.ProductionVariantSummary
	for _, v := range all {
		config := configured(f, v.Name)
		ready := d.ready(f.Generation, v.Name)
		out = append(out, wire.ProductionVariantSummary{
			VariantName: ref(v.Name), DeployedImages: deployed(v.Images),
			CurrentWeight: ref(float32(v.Effective)), DesiredWeight: ref(float32(v.Weight)),
			CurrentInstanceCount: ref(int32(ready)), DesiredInstanceCount: ref(int32(v.Count)),
			VariantStatus:           d.status(f, v, ready),
			CurrentServerlessConfig: wireServerless(config.Serverless), DesiredServerlessConfig: wireServerless(config.Serverless),
			ManagedInstanceScaling: wireScaling(config.Scaling), RoutingConfig: wireRouting(config.Routing),
		})
	}
	return out
}

// pending are those of the fleet that is being built.
func (d description) pending(f *resource.Fleet, all []resource.FleetVariant) []wire.PendingProductionVariantSummary {
	var out []wire.PendingProductionVariantSummary
	for _, v := range all {
		config := configured(f, v.Name)
		ready := d.ready(f.Generation, v.Name)
		out = append(out, wire.PendingProductionVariantSummary{
			VariantName: ref(v.Name), DeployedImages: deployed(v.Images),
			CurrentWeight: ref(float32(v.Effective * d.e.Change.Share)), DesiredWeight: ref(float32(v.Weight)),
			CurrentInstanceCount: ref(int32(ready)), DesiredInstanceCount: ref(int32(v.Count)), InstanceType: optional(config.InstanceType),
			VariantStatus:           d.status(f, v, ready),
			CurrentServerlessConfig: wireServerless(config.Serverless), DesiredServerlessConfig: wireServerless(config.Serverless),
			ManagedInstanceScaling: wireScaling(config.Scaling), RoutingConfig: wireRouting(config.Routing),
		})
	}
	return out
}

func configured(f *resource.Fleet, name string) resource.ProductionVariant {
	for _, v := range append(f.Config.Variants[:len(f.Config.Variants):len(f.Config.Variants)], f.Config.Shadows...) {
		if v.Name == name {
			return v
		}
	}
	return resource.ProductionVariant{}
}

func deployed(images []resource.DeployedImage) []wire.DeployedImage {
	var out []wire.DeployedImage
	for _, i := range images {
		out = append(out, wire.DeployedImage{SpecifiedImage: ref(i.Specified), ResolvedImage: ref(i.Resolved), ResolutionTime: ref(i.ResolvedAt)})
	}
	return out
}

// status is what a variant is about, nothing when it just serves (EP-25).
func (d description) status(f *resource.Fleet, v resource.FleetVariant, ready int) []wire.ProductionVariantStatus {
	e := d.e
	name, message := "", ""
	switch {
	case e.Status == resource.EndpointDeleting:
		return []wire.ProductionVariantStatus{{Status: ref("Deleting"), StartTime: moment(e.Modified)}}
	case e.Change == nil:
		return nil
	case f == e.Pending && ready < v.Count:
		name, message = "Creating", fmt.Sprintf("%d of %d instances are ready.", ready, v.Count)
	case f == e.Pending && e.Change.Share > 0:
		name, message = "Baking", baking(e)
	case f == e.Pending:
		name = "ActivatingTraffic"
	default:
		name, message = "Updating", fmt.Sprintf("%d of %d instances are ready.", ready, v.Count)
	}
	return []wire.ProductionVariantStatus{{Status: &name, StatusMessage: optional(message), StartTime: moment(e.Change.StepAt)}}
}

// baking says with how much traffic the new fleet is watched, and for how long.
func baking(e resource.Endpoint) string {
	wait := 0
	if d := e.LastDeployment; d != nil && d.BlueGreen != nil {
		wait = d.BlueGreen.Wait
	} else if d != nil && d.Rolling != nil {
		wait = d.Rolling.Wait
	}
	return fmt.Sprintf("Baking for %d seconds with %.0f percent of the traffic.", wait, 100*e.Change.Share)
}

// captureSummary is what DescribeEndpoint shows of data capture: all members are
// there (EP-26).
func captureSummary(c *resource.DataCapture) *wire.DataCaptureConfigSummary {
	if c == nil {
		return nil
	}
	status := "Stopped"
	if c.Enabled {
		status = "Started"
	}
	return &wire.DataCaptureConfigSummary{
		EnableCapture: ref(c.Enabled), CaptureStatus: &status, CurrentSamplingPercentage: ref(int32(c.Percent)),
		DestinationS3Uri: ref(c.DestinationURI), KmsKeyId: ref(c.KmsKeyID),
	}
}

func deploymentOf(d *wire.DeploymentConfig) *resource.DeploymentConfig {
	if d == nil {
		return nil
	}
	out := &resource.DeploymentConfig{}
	if b := d.BlueGreenUpdatePolicy; b != nil {
		t := b.TrafficRoutingConfiguration
		out.BlueGreen = &resource.BlueGreen{
			Type: resource.TrafficType(value(t.Type)), Wait: int(value(t.WaitIntervalInSeconds)),
			Canary: capacityOf(t.CanarySize), Linear: capacityOf(t.LinearStepSize),
			TerminationWait: integer(b.TerminationWaitInSeconds), MaxExecution: integer(b.MaximumExecutionTimeoutInSeconds),
		}
	}
	if r := d.RollingUpdatePolicy; r != nil {
		out.Rolling = &resource.Rolling{
			Batch: *capacityOf(r.MaximumBatchSize), Wait: int(value(r.WaitIntervalInSeconds)),
			RollbackBatch: capacityOf(r.RollbackMaximumBatchSize), MaxExecution: integer(r.MaximumExecutionTimeoutInSeconds),
		}
	}
	if a := d.AutoRollbackConfiguration; a != nil {
		out.AutoRollback = true
		for _, alarm := range a.Alarms {
			out.Alarms = append(out.Alarms, value(alarm.AlarmName))
		}
	}
	return out
}

func capacityOf(c *wire.CapacitySize) *resource.Capacity {
	if c == nil {
		return nil
	}
	return &resource.Capacity{Percent: value(c.Type) == "CAPACITY_PERCENT", Value: int(value(c.Value))}
}

func wireDeployment(d *resource.DeploymentConfig) *wire.DeploymentConfig {
	if d == nil || d.BlueGreen == nil && d.Rolling == nil && !d.AutoRollback {
		return nil
	}
	out := &wire.DeploymentConfig{}
	if b := d.BlueGreen; b != nil {
		out.BlueGreenUpdatePolicy = &wire.BlueGreenUpdatePolicy{
			TrafficRoutingConfiguration: &wire.TrafficRoutingConfig{
				Type: ref(string(b.Type)), WaitIntervalInSeconds: ref(int32(b.Wait)),
				CanarySize: wireCapacity(b.Canary), LinearStepSize: wireCapacity(b.Linear),
			},
			TerminationWaitInSeconds: integer32(b.TerminationWait), MaximumExecutionTimeoutInSeconds: integer32(b.MaxExecution),
		}
	}
	if r := d.Rolling; r != nil {
		out.RollingUpdatePolicy = &wire.RollingUpdatePolicy{
			MaximumBatchSize: wireCapacity(&r.Batch), WaitIntervalInSeconds: ref(int32(r.Wait)),
			RollbackMaximumBatchSize: wireCapacity(r.RollbackBatch), MaximumExecutionTimeoutInSeconds: integer32(r.MaxExecution),
		}
	}
	if d.AutoRollback {
		out.AutoRollbackConfiguration = &wire.AutoRollbackConfig{}
		for _, name := range d.Alarms {
			out.AutoRollbackConfiguration.Alarms = append(out.AutoRollbackConfiguration.Alarms, wire.Alarm{AlarmName: ref(name)})
		}
	}
	return out
}

func wireCapacity(c *resource.Capacity) *wire.CapacitySize {
	if c == nil {
		return nil
	}
	kind := "INSTANCE_COUNT"
	if c.Percent {
		kind = "CAPACITY_PERCENT"
	}
	return &wire.CapacitySize{Type: &kind, Value: ref(int32(c.Value))}
}
