{{/*
What the user has set, as YAML: values that differ from files/defaults.yaml, which `make gen` makes from values.yaml, and null for
defaults that were taken away. Without tags and digests of images, which belong to a version. `weft upgrade` renders with these
when it is given no others.

(dict "root" $ "leave" (list "viz") what is not told)
*/}}
{{- define "weft.settings" -}}
{{- $given := .root.Values }}
{{- $defaults := .root.Files.Get "files/defaults.yaml" | fromYaml }}
{{- range .leave }}
{{- $given = omit $given . }}
{{- $defaults = omit $defaults . }}
{{- end }}
{{- include "weft.changed" (dict "given" $given "defaults" $defaults) }}
{{- end }}

{{- define "weft.changed" -}}
{{- $changed := dict }}
{{- range $key, $value := .given }}
{{- $default := get $.defaults $key }}
{{- if not (hasKey $.defaults $key) }}
{{- $_ := set $changed $key $value }}
{{- else if has $key (list "tag" "digest") }}
{{- else if and (kindIs "map" $value) (kindIs "map" $default) }}
{{- with include "weft.changed" (dict "given" $value "defaults" $default) | fromYaml }}
{{- $_ := set $changed $key . }}
{{- end }}
{{- else if ne (toJson $value) (toJson $default) }}
{{- $_ := set $changed $key $value }}
{{- end }}
{{- end }}
{{- range $key, $_ := omit .defaults "tag" "digest" }}
{{- if not (hasKey $.given $key) }}
{{- $_ := set $changed $key nil }}
{{- end }}
{{- end }}
{{- toYaml $changed }}
{{- end }}
