package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// endpointDescription is DescribeEndpoint's answer, as far as text shows it beside
// what the server's own path tells.
type endpointDescription struct {
	EndpointName, EndpointConfigName, EndpointStatus string
	FailureReason                                    *string
	CreationTime, LastModifiedTime                   epoch
	ProductionVariants, ShadowProductionVariants     []describedVariant
	PendingDeploymentSummary                         *struct {
		ProductionVariants, ShadowProductionVariants []describedVariant
	}
	DataCaptureConfig *wire.DataCaptureConfigSummary
}

type describedVariant struct {
	VariantName    string
	DeployedImages []struct{ SpecifiedImage, ResolvedImage string }
}

// endpointsDescribe is the command that describes an endpoint.
func (a *app) endpointsDescribe(f *targetFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe NAME",
		Short: "Show one endpoint: its variants, their instances, and what it is doing",
		Long: `Show what an endpoint is, the instances, images and requests of its variants, the change that
is under way and what it waits for. With --output json the members are those of
DescribeEndpoint, and Progress and Why, which have the rest.`,
		Example: `  sagebrush endpoints describe prices
  sagebrush endpoints describe prices --json | jq .Progress.inFlight`,
	}
	return a.endpointCommand(cmd, f, func(ctx context.Context, c *client, endpoint string) error {
		var raw json.RawMessage
		if err := c.call(ctx, "DescribeEndpoint", &wire.DescribeEndpointInput{EndpointName: &endpoint}, &raw); err != nil {
			return err
		}
		p, err := c.hosted(ctx, endpoint)
		if err != nil {
			return err
		}
		w, err := c.whyHosted(ctx, endpoint)
		if err != nil {
			return err
		}
		if a.json {
			members := map[string]any{}
			if err := c.decode(raw, &members); err != nil {
				return err
			}
			members["Progress"], members["Why"] = p, w.Why
			return a.printJSON(members)
		}
		var d endpointDescription
		if err := c.decode(raw, &d); err != nil {
			return err
		}
		_, err = fmt.Fprint(a.Stdout, a.describeEndpoint(d, p, w.Parts))
		return err
	})
}

// describeEndpoint makes the text: the endpoint, then its variants.
func (a *app) describeEndpoint(d endpointDescription, p api.EndpointProgress, why []string) string {
	rows := [][]string{
		{"Name", d.EndpointName},
		{"Status", a.out.status(d.EndpointStatus)},
		{"Config", d.EndpointConfigName},
		{"Created", moment(d.CreationTime.Time)},
		{"Changed", moment(d.LastModifiedTime.Time)},
	}
	if c := p.Change; c != nil {
		rows = append(rows, []string{"Change", changeText(*c)})
	}
	if d.DataCaptureConfig != nil {
		rows = append(rows, []string{"Capture", captureText(*d.DataCaptureConfig)})
	}
	if len(p.Traffic) > 0 {
		rows = append(rows, []string{"Requests", fmt.Sprintf("%s under way, %s waiting", count(p.InFlight), count(p.Waiting))})
	}
	if d.FailureReason != nil {
		rows = append(rows, []string{"Failure", strings.Join(strings.Fields(*d.FailureReason), " ")})
	}
	for i, sentence := range why {
		name := ""
		if i == 0 {
			name = "Now"
		}
		rows = append(rows, []string{name, clip(sentence, 300)})
	}
	return table(rows, nil) + "\n" + table(variantRows(p), nil) + imageRows(d) + trafficRows(p)
}

// changeText says what change is under way.
func changeText(c api.EndpointChange) string {
	text := map[string]string{"create": "creation", "deploy": "update", "scale": "change of weights and capacities"}[c.Kind]
	if c.ConfigName != "" {
		text += " to " + c.ConfigName
	}
	text += ", since " + moment(c.Started)
	if c.Kind == "deploy" {
		text += fmt.Sprintf(", %.0f %% of the traffic moved", 100*c.Share)
	}
	return text
}

func captureText(c wire.DataCaptureConfigSummary) string {
	text := or(c.CaptureStatus, "Stopped")
	if c.CurrentSamplingPercentage != nil {
		text += fmt.Sprintf(", %d %% to %s", *c.CurrentSamplingPercentage, or(c.DestinationS3Uri, ""))
	}
	return text
}

// variantRows are the variants with their instances.
func variantRows(p api.EndpointProgress) [][]string {
	rows := [][]string{{"VARIANT", "CONFIG", "WEIGHT", "READY", "STARTING", "ENDING", ""}}
	for _, v := range p.Variants {
		weight := number(v.Weight)
		if v.DesiredWeight != v.Weight {
			weight += " -> " + number(v.DesiredWeight)
		}
		var notes []string
		if v.Pending {
			notes = append(notes, "new")
		}
		if v.Shadow {
			notes = append(notes, "shadow")
		}
		if v.Failures > 0 {
			notes = append(notes, plural(int64(v.Failures), "failed start"))
		}
		rows = append(rows, []string{v.Name, v.ConfigName, weight, fmt.Sprintf("%d of %d", v.Ready, v.Wanted), fmt.Sprint(v.Starting), fmt.Sprint(v.Sick + v.Stopping), strings.Join(notes, ", ")})
	}
	return rows
}

// imageRows are the images that the variants run.
func imageRows(d endpointDescription) string {
	rows := [][]string{{"VARIANT", "IMAGE", "RESOLVED"}}
	add := func(variants []describedVariant) {
		for _, v := range variants {
			for _, i := range v.DeployedImages {
				rows = append(rows, []string{v.VariantName, i.SpecifiedImage, i.ResolvedImage})
			}
		}
	}
	add(d.ProductionVariants)
	add(d.ShadowProductionVariants)
	if p := d.PendingDeploymentSummary; p != nil {
		add(p.ProductionVariants)
		add(p.ShadowProductionVariants)
	}
	if len(rows) == 1 {
		return ""
	}
	return "\n" + table(rows, nil)
}

// trafficRows are the requests that the variants have had.
func trafficRows(p api.EndpointProgress) string {
	rows := [][]string{{"VARIANT", "REQUESTS", "4XX", "5XX", "THROTTLED", "REPEATED", "MODEL", "OVERHEAD"}}
	for _, t := range p.Traffic {
		rows = append(rows, []string{
			t.Variant, count(t.Invocations), count(t.Errors4XX), count(t.Errors5XX), count(t.Throttled), count(t.Repeated),
			millis(t.ModelLatency), millis(t.OverheadLatency),
		})
	}
	if len(rows) == 1 {
		return ""
	}
	return "\n" + table(rows, nil)
}

// millis writes a mean latency.
func millis(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return time.Duration(ms * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
}

// number writes a weight as it was sent.
func number(v float64) string { return fmt.Sprintf("%g", float32(v)) }
