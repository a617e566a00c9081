{{/* Name of everything the chart makes: reckon-operator for the release "reckon". */}}
{{- define "reckon.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "reckon-operator" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else if hasSuffix "reckon" .Release.Name -}}
{{- printf "%s-operator" (.Release.Name | trunc 41) -}}
{{- else -}}
{{- printf "%s-reckon-operator" (.Release.Name | trunc 34 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the operator's pods. */}}
{{- define "reckon.selector" -}}
app.kubernetes.io/name: reckon-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of everything but the resource's definition, which outlives the release. */}}
{{- define "reckon.labels" -}}
{{ include "reckon.selector" . }}
app.kubernetes.io/part-of: reckon
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Annotations by which a Prometheus without the Prometheus Operator finds the operator's metrics. */}}
{{- define "reckon.scrape" -}}
{{- if .Values.monitoring.scrapeAnnotations -}}
prometheus.io/scrape: "true"
prometheus.io/port: "8080"
prometheus.io/path: /metrics
{{- end -}}
{{- end -}}

{{- define "reckon.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "reckon.name" .) -}}
{{- end -}}

{{/* A reference to an image: (list IMAGE APP-VERSION). */}}
{{- define "reckon.image" -}}
{{- $image := first . -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (last .)) -}}
{{- end -}}
{{- end -}}

{{/* What the `restricted` Pod Security Standard asks of a pod, and who it runs as unless the cluster decides that. */}}
{{- define "reckon.podSecurity" -}}
runAsNonRoot: true
{{- if .Values.fixedUserIds }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Environment by which the operator knows what it watches and where its Lease is. */}}
{{- define "reckon.where" -}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: RECKON_LEASE_NAME, value: {{ include "reckon.name" . | quote }}}
{{- with .Values.watchNamespaces }}
- {name: RECKON_NAMESPACES, value: {{ join "," . | quote }}}
{{- end }}
{{- end -}}

{{/* What the operator may do in a namespace that it watches. */}}
{{- define "reckon.rules" -}}
# The resource itself: it is read, and its status is written; never its spec.
- apiGroups: [reckon.dev]
  resources: [recommendationservices]
  verbs: [get, list, watch]
- apiGroups: [reckon.dev]
  resources: [recommendationservices/status]
  verbs: [patch]
# Children. Secrets are watched by metadata; their data is read by name.
- apiGroups: [""]
  resources: [configmaps, secrets, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Pods are counted, never touched; a failed migration's last lines go into a condition.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
