{{/*
What the user has set, as YAML: values that differ from files/defaults.yaml, which `make gen` makes from values.yaml. Without
tags and digests, which belong to a version. `weft upgrade` renders with these when it is given no others.

(dict "root" $ "leave" (list "viz") what is not told)
*/}}
{{- define "weft.settings" -}}
{{- $given := .root.Values }}
{{- range .leave }}
{{- $given = omit $given . }}
{{- end }}
{{- include "weft.changed" (dict "given" $given "defaults" (.root.Files.Get "files/defaults.yaml" | fromYaml)) }}
{{- end }}

{{- define "weft.changed" -}}
{{- $changed := dict }}
{{- range $key, $value := omit .given "tag" "digest" }}
{{- $default := get $.defaults $key }}
{{- if and (kindIs "map" $value) (kindIs "map" $default) }}
{{- with include "weft.changed" (dict "given" $value "defaults" $default) | fromYaml }}
{{- $_ := set $changed $key . }}
{{- end }}
{{- else if ne (toJson $value) (toJson $default) }}
{{- $_ := set $changed $key $value }}
{{- end }}
{{- end }}
{{- toYaml $changed }}
{{- end }}
