{#
  The table of one stream, or no rows with the named columns where that stream was never loaded:
  redemptions, campaigns and orders cost calls, so a project may leave them out.
#}
{% macro loaded(stream, columns) %}
    {%- set table = adapter.get_relation(
        database=target.database, schema=var('raw_schema'), identifier=stream
    ) if execute else none -%}
    (
        select
        {% for name, type in columns.items() -%}
            {%- if table -%} {{ adapter.quote(name) }}
            {%- else -%} cast(null as {{ type }}) as {{ adapter.quote(name) }}
            {%- endif -%}
            {{ ", " if not loop.last }}
        {% endfor -%}
        {%- if table %} from {{ table }} {%- else %} where false {%- endif %}
    ) as {{ stream }}
{% endmacro %}
