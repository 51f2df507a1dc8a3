"""Charts that stand still, as Plotly figures. What grows while one watches is the live chart's (`pages/_parts/components/live_chart`)."""
