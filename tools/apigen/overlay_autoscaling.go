package main

// autoScalingOverlay has facts as of 2026, for the served operations only.
var autoScalingOverlay = overlay{
	maxima: map[string]string{"XmlString": "16384", "ResourceId": "16384"},
	enums:  map[string][]insertion{"PolicyType": {{values: []string{"PredictiveScaling"}}}},
	ops:    []string{"GetPredictiveScalingForecast"},
}
