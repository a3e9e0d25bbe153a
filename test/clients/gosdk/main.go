// Command gosdk reads a streamed answer of an endpoint with the AWS SDK for Go v2:
//
//	gosdk ENDPOINT BODY FOLDER
//
// It prints each part as it comes, and then makes the file FOLDER/K for the part K,
// for which the model waits before it sends the next: a stream that somebody holds
// back never ends. At last it prints how the stream ended. It is a module of its own,
// so that Sagebrush does not depend on what it is tested with.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, endpoint, body, folder string) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	out, err := sagemakerruntime.NewFromConfig(cfg).InvokeEndpointWithResponseStream(ctx, &sagemakerruntime.InvokeEndpointWithResponseStreamInput{
		EndpointName: &endpoint, Body: []byte(body), ContentType: aws.String("application/json"),
	})
	if err != nil {
		return err
	}
	fmt.Println("variant", aws.ToString(out.InvokedProductionVariant))
	stream := out.GetStream()
	defer stream.Close()
	n := 0
	for event := range stream.Events() {
		part, ok := event.(*types.ResponseStreamMemberPayloadPart)
		if !ok {
			return fmt.Errorf("an event of the type %T", event)
		}
		fmt.Printf("part %s", part.Value.Bytes)
		if err := os.WriteFile(filepath.Join(folder, strconv.Itoa(n)), nil, 0o600); err != nil {
			return err
		}
		n++
	}
	var broke *types.ModelStreamError
	switch err := stream.Err(); {
	case errors.As(err, &broke):
		fmt.Println("broke", "ModelStreamError", aws.ToString(broke.ErrorCode_))
	case err != nil:
		return err
	default:
		fmt.Println("end")
	}
	return nil
}
